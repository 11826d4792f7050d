from __future__ import annotations

import ast
import inspect
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgert.errors import DataError, ModelError, OutputError
from edgert_converters.engine import load_runner
from edgert_converters.fixed_point import arithmetic, dot, elementwise, moving, reducing, tables, weighted
from edgert_converters.fixed_point import network as network_module
from edgert_converters.fixed_point.arithmetic import bit_length, divide_even, rescale, shift_right_even
from edgert_converters.fixed_point.dfp16 import quantize_dfp16
from edgert_converters.fixed_point.dot import (
    INT32_MAX,
    Operands,
    accumulate,
    accumulator_exponents,
    chain_exponents,
    cut_chains,
    exponent_runs,
)
from edgert_converters.fixed_point.formats import FixedTensor, Format, build_format, dequantize_tensor, quantize_tensor
from edgert_converters.fixed_point.network import FixedPointNetwork
from edgert_converters.fixed_point.rules import RULES
from edgert_converters.fixed_point.storage import load_network, save_network
from edgert_converters.fixed_point.tables import build_lookup, exp_negative, inverse_root, look_up, reciprocal
from edgert_converters.importers import import_model
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.case_models import build_float_model
from edgert_converters.ops.spec import Case
from tests.encoder_example import build_encoder
from tests.fixed_point_example import CASES, case_feed, signal_to_noise_db

_CASE_DB = 64.0
"""16 bits less one of headroom and up to one that a power of two wastes, less what exp and 1 / x magnify."""


def _uniform(exponent: int, rank: int, bits: int = 16) -> Format:
    return Format(bits, (0,) * rank, np.full((1,) * rank, exponent, np.int16))


# arithmetic


@given(st.integers(-(2**61), 2**61), st.integers(0, 62))
def test_a_shift_rounds_half_to_even(value: int, shift: int) -> None:
    found = int(shift_right_even(np.asarray(value), shift))
    assert found == round(Fraction(value, 1 << shift))


@given(st.integers(-(2**60), 2**60), st.integers(1, 2**20))
def test_a_division_rounds_half_to_even(value: int, divisor: int) -> None:
    assert int(divide_even(np.asarray(value), divisor)) == round(Fraction(value, divisor))


@given(st.integers(-(2**40), 2**40), st.integers(-80, 80), st.sampled_from([8, 16, 31, 32]))
def test_rescaling_rounds_and_saturates_whatever_the_shift(value: int, move: int, bits: int) -> None:
    limit = (1 << (bits - 1)) - 1
    expected = max(-limit, min(limit, round(Fraction(value) * Fraction(2) ** -move)))
    assert int(rescale(np.asarray(value), np.asarray(0), np.asarray(move), bits)) == expected


@given(st.integers(0, 2**62))
def test_bit_length(value: int) -> None:
    assert int(bit_length(np.asarray(value))) == value.bit_length()


@given(st.integers(1, INT32_MAX))
def test_the_reciprocal_by_table(value: int) -> None:
    r, e = reciprocal(np.asarray(value))
    assert abs(int(r) * 2.0 ** int(e) * value - 1) < 2**-15


@given(st.integers(1, 2**62 - 1))
def test_the_inverse_root_by_table(value: int) -> None:
    r, e = inverse_root(np.asarray(value))
    assert abs(int(r) * 2.0 ** int(e) * math.sqrt(value) - 1) < 2**-15


def test_the_exponential_by_table() -> None:
    distance = np.arange(0, 1 << 19, 37)
    found = exp_negative(distance, np.asarray(-15))
    assert np.abs(found - 32768 * np.exp(-distance / 32768)).max() < 1.3
    assert int(exp_negative(np.asarray(40), np.asarray(0))) == 0


def test_a_table_of_16_bit_inputs_is_within_two_steps() -> None:
    lookup = build_lookup(np.tanh, [-12, -13], 16, -15)
    values = np.arange(-32768, 32768)
    for exponent in (-12, -13):
        expected = np.clip(32768 * np.tanh(values * 2.0**exponent), -32767, 32767)
        assert np.abs(look_up(lookup, values, np.asarray(exponent)) - expected).max() < 2


# formats


def test_the_largest_magnitude_just_fits() -> None:
    for largest in (0.7, 1.0, 3.999, 4.0, 1e-20):
        form = build_format(np.asarray([largest]), (0,), 16)
        mantissa = int(quantize_tensor(np.asarray([largest]), form).values[0])
        assert 2**14 <= mantissa <= 2**15 - 1


def test_a_tensor_of_zeros_has_a_usable_format() -> None:
    form = build_format(np.zeros(1), (0,), 16)
    assert dequantize_tensor(quantize_tensor(np.zeros(4, np.float32), form)).tolist() == [0, 0, 0, 0]


def test_quantizing_saturates_symmetrically_and_takes_nan_for_zero() -> None:
    tensor = quantize_tensor(np.asarray([1e9, -1e9, np.inf, -np.inf, np.nan]), _uniform(-15, 1))
    assert tensor.values.tolist() == [32767, -32767, 32767, -32767, 0]
    assert tensor.values.dtype == np.int16


def test_programmer_mistakes_in_formats() -> None:
    with pytest.raises(ValueError, match="8 or 16 bits, not 12"):
        _uniform(0, 1, bits=12)
    with pytest.raises(ValueError, match="2 block lengths for exponents of rank 1"):
        Format(8, (0, 0), np.zeros(1, np.int16))


# chains of int32 sums


def _worst(weights: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Inputs that give the first output channel its largest possible sum."""
    return (32767 * np.sign(weights[0, 0])).astype(np.int16)[None, :, None]


@pytest.mark.parametrize("spread", [300, 6000, 60000])
def test_no_chain_overflows_even_where_every_product_has_the_same_sign(spread: int) -> None:
    rng = np.random.default_rng(spread)
    weights = np.clip(rng.normal(0, spread, (1, 5, 700)), -32767, 32767).astype(np.int16)
    right = _worst(weights)
    zero = np.zeros((1, 1, 1), np.int16)
    bounds = np.abs(weights.astype(np.int64)) * 32767
    starts = cut_chains(bounds[0], exponent_runs(zero, zero))
    chained = np.add.reduceat(bounds, starts, axis=2)
    assert chained.max() <= INT32_MAX
    # a chain ends only because the next product would not fit
    grown = [bounds[0, :, a : b + 1].sum(axis=1).max() for a, b in zip(starts, starts[1:], strict=False)]
    assert all(g > INT32_MAX for g in grown)
    exponents = chain_exponents(zero, zero, starts)
    target = accumulator_exponents(chained.transpose(0, 2, 1)[..., None], exponents)
    found = accumulate(Operands(weights, right, zero, zero), starts, target).astype(np.int64)
    exact = np.einsum("gok,gkp->gop", weights.astype(np.int64), right.astype(np.int64))
    assert found.dtype == np.int64
    assert np.abs(found - exact / 2.0**target).max() <= len(starts) / 2
    assert np.abs(found).max() < 2**30 + len(starts)
    assert exact.max() > INT32_MAX  # one chain would have overflowed


def test_two_16_bit_activations_make_chains_of_two() -> None:
    zero = np.zeros((1, 1, 1), np.int16)
    starts = cut_chains(np.full((1, 7), 32767 * 32767), exponent_runs(zero, zero))
    assert starts.tolist() == [0, 2, 4, 6]


def test_chains_end_where_an_exponent_changes() -> None:
    left = np.asarray([0, 0, 0, 1, 1, 1]).reshape(1, 1, 6)
    right = np.asarray([5, 5, 5, 5, 6, 6]).reshape(1, 6, 1)
    assert exponent_runs(left, right).tolist() == [0, 3, 4]


@pytest.mark.parametrize("size", [1.0, 1e-4, 1e-12, 1e-30])
def test_a_bias_far_above_the_products_fits_the_accumulator(size: float) -> None:
    model = _one_node("Gemm", [np.full((4, 2), size), np.asarray([3e4, -3e4])], (1, 4))
    network = quantize_dfp16(model, lambda: [{"x": np.ones((1, 4), np.float32)}])
    assert np.allclose(network.run({"x": np.ones((1, 4), np.float32)})["y"], [[3e4, -3e4]], rtol=2e-4)


# whole operators and networks


@pytest.mark.parametrize(("op", "case"), CASES, ids=[f"{op}-{case.name}" for op, case in CASES])
def test_every_operator_follows_its_float_rule(op: str, case: Case) -> None:
    model, feed = build_float_model(OPERATORS[op], case), case_feed(case)
    expected = load_runner(model)(feed)
    found = quantize_dfp16(model, lambda: [feed]).run(feed)
    for name, y in expected.items():
        assert found[name].shape == y.shape
        assert signal_to_noise_db(y, found[name]) > _CASE_DB


def test_every_rule_has_a_case() -> None:
    assert {op for op, _ in CASES} == set(RULES)


class _IntegersOnly(np.ndarray):
    """An array that refuses every float operation it takes part in, and makes more of its kind."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        plain = [np.asarray(x) if isinstance(x, _IntegersOnly) else x for x in inputs]
        if "out" in kwargs:
            kwargs["out"] = tuple(np.asarray(x) for x in kwargs["out"])
        result = getattr(ufunc, method)(*plain, **kwargs)
        for array in (*plain, result):
            assert np.asarray(array).dtype.kind in "iub", f"{ufunc.__name__} on {np.asarray(array).dtype}"
        return np.asarray(result).view(_IntegersOnly)


_FLOAT_NAMES = {
    "float",
    "float32",
    "float64",
    "floating",
    "ldexp",
    "frexp",
    "rint",
    "mean",
    "var",
    "exp",
    "sqrt",
    "log2",
}


def test_the_code_that_runs_has_no_float_operation() -> None:
    """Neither a division nor a float constant nor a function that makes floats stands in what computes a network."""
    for module in (arithmetic, dot, elementwise, moving, reducing, weighted):
        _assert_integer_code(ast.parse(inspect.getsource(module)))
    for function in (tables.look_up, tables.exp_negative, tables.reciprocal, tables.inverse_root, tables._interpolate):
        _assert_integer_code(ast.parse(inspect.getsource(function)))
    with pytest.raises(AssertionError, match="x / 2"):
        _assert_integer_code(ast.parse("x / 2"))


def _assert_integer_code(tree: ast.AST) -> None:
    for node in ast.walk(tree):
        divides = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        is_float = isinstance(node, ast.Constant) and isinstance(node.value, float)
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        assert not (divides or is_float or name in _FLOAT_NAMES), ast.unparse(node)


def test_nothing_between_the_borders_is_float(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_encoder(layers=1, width=32, length=8)
    samples = _encoder_samples(4, 8, 32)
    network = quantize_dfp16(model, lambda: samples)
    kinds = set()
    for name, kernel in network_module.KERNELS.items():

        def watched(step: Any, inputs: Any, formats: Any, run: Any = kernel) -> Any:
            given = [
                FixedTensor(v.values.view(_IntegersOnly), v.format) if isinstance(v, FixedTensor) else v for v in inputs
            ]
            results = run(step, given, formats)
            kinds.update(r.values.dtype for r in results)
            return results

        monkeypatch.setattr(network_module, "KERNELS", {**network_module.KERNELS, name: watched})
    network.run(samples[0])
    assert kinds == {np.dtype(np.int16)}
    with pytest.raises(AssertionError, match="multiply on float64"):
        np.ones(3, np.int16).view(_IntegersOnly) * 0.5


def test_a_transformer_encoder() -> None:
    model, samples = build_encoder(), _encoder_samples(12, 24, 64)
    expected, found = _both(model, quantize_dfp16(model, lambda: samples[:8]), samples[8:])
    assert signal_to_noise_db(expected, found) > 60


def test_an_encoder_that_starts_from_token_ids() -> None:
    model, rng = build_encoder(layers=1, vocabulary=50), np.random.default_rng(3)
    samples = [{"x": rng.integers(0, 50, (1, 24))} for _ in range(8)]
    expected, found = _both(model, quantize_dfp16(model, lambda: samples[:4]), samples[4:])
    assert signal_to_noise_db(expected, found) > 55


def test_real_keyword_spotting_answers_as_float_does(zoo: Path) -> None:
    model = import_model(zoo / "models" / "mlperf_tiny_kws_dscnn_float.tflite", {}).model
    with np.load(zoo / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        x = data["mfcc"].astype(np.float32).reshape(-1, 1, 49, 10, 1)
        split = data["split_calib"]
    name = model.graph.inputs[0].name or ""
    calibration, evaluation = ([{name: s} for s in part] for part in (x[split][:24], x[~split][::70]))
    expected, found = _both(model, quantize_dfp16(model, lambda: calibration), evaluation)
    assert np.array_equal(expected.argmax(axis=1), found.argmax(axis=1))
    assert signal_to_noise_db(expected, found) > 50


def test_a_stored_network_gives_the_same_bits(tmp_path: Path) -> None:
    model, samples = build_encoder(layers=1, width=32, length=8), _encoder_samples(4, 8, 32)
    network = quantize_dfp16(model, lambda: samples)
    paths = tmp_path / "a.npz", tmp_path / "b.npz"
    save_network(network, paths[0])
    again = load_network(paths[0])
    save_network(again, paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    for sample in samples:
        for name, y in network.run(sample).items():
            assert np.array_equal(again.run(sample)[name], y)
    save_network(quantize_dfp16(model, lambda: samples), paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()


# refusals


def _one_node(op: str, constants: list[np.ndarray[Any, Any]], shape: tuple[int, ...], **attributes: Any) -> ir.Model:
    from onnx import TensorProto, helper, numpy_helper

    names = [f"c{i}" for i in range(len(constants))]
    node = helper.make_node(op, ["x", *names], ["y"], name="the_node", **attributes)
    parts = [numpy_helper.from_array(np.asarray(c, np.float32), n) for n, c in zip(names, constants, strict=True)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    kind = TensorProto.INT64 if op == "ArgMax" else TensorProto.FLOAT
    y = helper.make_tensor_value_info("y", kind, None)
    graph = helper.make_graph([node], "g", [x], [y], parts)
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def _quantize_one(op: str, constants: list[Any], shape: tuple[int, ...] = (1, 4), **attributes: Any) -> None:
    model = _one_node(op, [np.asarray(c) for c in constants], shape, **attributes)
    quantize_dfp16(model, lambda: [{"x": np.ones(shape, np.float32)}])


def test_an_operator_without_a_rule_is_named() -> None:
    with pytest.raises(ModelError, match="node 'the_node': operator 'LpNormalization' has no integer rule in dfp16"):
        _quantize_one("LpNormalization", [])


def test_what_a_rule_does_not_do_is_refused_with_the_node() -> None:
    with pytest.raises(ModelError, match="node 'the_node': Pow needs one constant exponent in fixed point"):
        _quantize_one("Pow", [[1, 2, 3, 2]])
    with pytest.raises(ModelError, match="Gemm needs one bias per column in fixed point, not"):
        _quantize_one("Gemm", [np.ones((4, 2)), np.ones((3, 2))], (3, 4))
    with pytest.raises(ModelError, match="ArgMax makes indices or truth values of numbers"):
        _quantize_one("ArgMax", [])


def test_weights_that_are_computed_are_refused() -> None:
    case = OPERATORS["Conv"].cases[0]
    model = build_float_model(OPERATORS["Conv"], Case("live", case.inputs, case.attributes))
    feed = {f"x{i}": a for i, a in enumerate(case.inputs) if a is not None}
    with pytest.raises(ModelError, match="Conv needs constant weights and biases in fixed point; input 1 is computed"):
        quantize_dfp16(model, lambda: [feed])


@pytest.mark.parametrize(
    ("op", "case", "text"),
    [
        ("Pad", "constant", "Pad with a constant other than 0 is not supported in fixed point"),
        ("MaxPool", "indices", "only the first output of MaxPool is supported in fixed point"),
    ],
)
def test_cases_that_are_refused(op: str, case: str, text: str) -> None:
    found = next(c for c in OPERATORS[op].cases if c.name == case)
    feed = case_feed(found)
    with pytest.raises(ModelError, match=text):
        quantize_dfp16(build_float_model(OPERATORS[op], found), lambda: [feed]).run(feed)


def test_a_quantized_model_is_refused() -> None:
    from edgert.dtypes import DType
    from edgert_converters.ops.case_models import build_qdq_model

    built = build_qdq_model(OPERATORS["Relu"], OPERATORS["Relu"].cases[0], DType.INT8)
    assert built is not None
    with pytest.raises(ModelError, match="fixed point starts from the float model; this one is quantized already"):
        quantize_dfp16(built[0], lambda: [built[1]])


def test_calibration_data_that_cannot_be_used() -> None:
    model = _one_node("Relu", [], (1, 4))
    with pytest.raises(DataError, match="the calibration set is empty"):
        quantize_dfp16(model, list)
    with pytest.raises(DataError, match="NaN or infinity in tensor 'y'"):
        quantize_dfp16(model, lambda: [{"x": np.full((1, 4), np.inf, np.float32)}])


def test_inputs_of_a_run_are_checked() -> None:
    network = quantize_dfp16(_one_node("Relu", [], (1, 4)), lambda: [{"x": np.ones((1, 4), np.float32)}])
    with pytest.raises(
        DataError, match="the model has no input 'y'; did you mean|the model has no input 'y'; allowed: x"
    ):
        network.run({"x": np.ones((1, 4), np.float32), "y": np.ones(1, np.float32)})
    with pytest.raises(DataError, match="input 'x' is missing; the model reads: x"):
        network.run({})


def test_sums_that_cannot_fit_are_refused() -> None:
    wide = (1, 40_000)
    network = quantize_dfp16(_one_node("Softmax", [], wide), lambda: [{"x": np.ones(wide, np.float32)}])
    with pytest.raises(ModelError, match="Softmax over 40000 elements does not fit an int32 sum"):
        network.run({"x": np.ones(wide, np.float32)})


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    path = tmp_path / "network.npz"
    with pytest.raises(ModelError, match="network.npz: cannot be read as an integer network"):
        load_network(path)
    np.savez(path, x=np.zeros(3))
    with pytest.raises(ModelError, match="is no integer network, or a damaged one"):
        load_network(path)
    np.savez(path, header=np.frombuffer(b'{"schema": 99}', np.uint8))
    with pytest.raises(ModelError, match="integer network of schema 99; this edgert reads 1: convert again"):
        load_network(path)
    network = FixedPointNetwork("dfp16", (), (), {}, {}, ())
    with pytest.raises(OutputError, match="cannot be written"):
        save_network(network, tmp_path / "absent" / "n.npz")


def _encoder_samples(count: int, length: int, width: int) -> list[dict[str, np.ndarray[Any, Any]]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.standard_normal((1, length, width)).astype(np.float32)} for _ in range(count)]


def _both(
    model: ir.Model, network: FixedPointNetwork, samples: list[dict[str, np.ndarray[Any, Any]]]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    run, output = load_runner(model), model.graph.outputs[0].name or ""
    expected = np.concatenate([run(s)[output] for s in samples])
    return expected, np.concatenate([network.run(s)[output] for s in samples])
