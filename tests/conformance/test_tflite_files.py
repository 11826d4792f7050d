"""Files of one TFLite operator, with random shapes, options and integer parameters: LiteRT against our importer."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite")

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.importers.tflite_file import build_onnx
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.model import TfTensor
from edgert_converters.tflite.read import parse_tflite
from tests.conformance.tflite_single import check_file, record, single_file
from tests.conformance.tflite_strategies import broadcast_shapes, numbers, shapes

BOUNDED: Final = settings(
    max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
UNARY: Final = {
    **dict.fromkeys(("ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "NEG", "ROUND", "SIGN", "SIN"), (-3.0, 3.0)),
    **dict.fromkeys(("LOG", "RSQRT", "SQRT"), (0.3, 4.0)),
    "SQUARE": (-3.0, 3.0),
}
PAIRS: Final = ("MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "FLOOR_MOD", "FLOOR_DIV", "ATAN2")
COMPARISONS: Final = ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL")
INT8_UNARY: Final = ("ABS", "ELU", "EXP", "GELU", "LOG")


def _tensor(name: str, x: Array, *, constant: bool = False, quant: QuantParams | None = None) -> TfTensor:
    dtype = DType.from_numpy(x.dtype) if quant is None else quant.dtype
    return TfTensor(name, x.shape, dtype, x if constant else None, quant)


def _index(values: Any, dtype: type = np.int32) -> TfTensor:  # Any: a number or a list of them
    return _tensor("index", np.asarray(values, dtype), constant=True)


def _check(
    operator: str,
    inputs: list[TfTensor],
    y: list[tuple[tuple[int, ...], DType]],
    feed: dict[str, Array],
    **options: Any,
) -> None:
    outputs = [TfTensor(f"y{k}", shape, dtype) for k, (shape, dtype) in enumerate(y)]
    check_file(single_file(operator, inputs, outputs, options), feed)
    record("random float files")


@BOUNDED
@given(st.data())
def test_element_wise_files(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from((*UNARY, *PAIRS, *COMPARISONS)))
    if name in UNARY:
        x = data.draw(numbers(data.draw(shapes()), *UNARY[name]))
        _check(name, [_tensor("a", x)], [(x.shape, DType.FLOAT)], {"a": x})
        return
    found = data.draw(broadcast_shapes(2, 4)) if name != "ATAN2" else [data.draw(shapes(1, 4))] * 2
    a, b = (data.draw(numbers(shape, 0.5 if name == "POW" else -3.0, 3.0)) for shape in found)
    if name in COMPARISONS:
        a, b = np.rint(a), np.rint(b)
    y = (np.broadcast_shapes(*found), DType.BOOL if name in COMPARISONS else DType.FLOAT)
    constant = data.draw(st.booleans()) and name != "ATAN2"
    _check(name, [_tensor("a", a), _tensor("b", b, constant=constant)], [y], {"a": a} if constant else {"a": a, "b": b})


@BOUNDED
@given(st.data())
def test_reducing_files(data: st.DataObject) -> None:
    names = ("REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "SUM", "MEAN", "REDUCE_ANY", "REDUCE_ALL", "ARG_MAX", "ARG_MIN")
    name = data.draw(st.sampled_from((*names, "CUMSUM", "TOPK_V2", "L2_NORMALIZATION")))
    shape = data.draw(shapes(1, 4))
    x = data.draw(numbers(shape))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    if name.startswith("ARG"):
        y = tuple(np.delete(shape, axis).tolist())
        _check(name, [_tensor("a", x), _index(axis)], [(y, DType.INT32)], {"a": x}, output_type=2)
    elif name == "CUMSUM":
        flags = {key: data.draw(st.booleans()) for key in ("exclusive", "reverse")}
        _check(name, [_tensor("a", x), _index(axis)], [(shape, DType.FLOAT)], {"a": x}, **flags)
    elif name == "TOPK_V2":
        count = data.draw(st.integers(1, shape[-1]))
        y = (*shape[:-1], count)
        _check(name, [_tensor("a", x), _index(count)], [(y, DType.FLOAT), (y, DType.INT32)], {"a": x})
    elif name == "L2_NORMALIZATION":
        _check(name, [_tensor("a", x)], [(shape, DType.FLOAT)], {"a": x})
    else:
        x = x > 0 if name in {"REDUCE_ANY", "REDUCE_ALL"} else x
        axes = sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
        keep = data.draw(st.booleans())
        y = tuple(1 if k in axes else size for k, size in enumerate(shape) if keep or k not in axes)
        _check(name, [_tensor("a", x), _index(axes)], [(y, DType.from_numpy(x.dtype))], {"a": x}, keep_dims=keep)


@pytest.mark.parametrize("name", ["SELECT", "SELECT_V2"])
def test_selecting_files(name: str) -> None:
    generator = np.random.default_rng(1)
    x, y = (generator.normal(size=(3, 2, 4)).astype(np.float32) for _ in range(2))
    wide = generator.normal(size=(3, 2, 4)) > 0
    narrow = np.asarray([True, False, True]) if name == "SELECT" else np.asarray([True, False, True, False])
    for condition in (wide, narrow):
        inputs = [_tensor("c", condition), _tensor("a", x), _tensor("b", y)]
        _check(name, inputs, [(x.shape, DType.FLOAT)], {"c": condition, "a": x, "b": y})


@pytest.mark.parametrize("name", ["FLOOR_MOD", "FLOOR_DIV"])
def test_divisions_of_whole_numbers_round_down(name: str) -> None:
    a, b = np.asarray([-7, 7, -8, 8, 0], np.int32), np.asarray([3, -3, 4, -5, 2], np.int32)
    _check(name, [_tensor("a", a), _tensor("b", b)], [(a.shape, DType.INT32)], {"a": a, "b": b})


def test_index_and_pooling_files() -> None:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(2, 6, 5, 3)).astype(np.float32)
    lrn = {"radius": 2, "alpha": 0.3, "beta": 0.6, "bias": 1.5}
    _check("LOCAL_RESPONSE_NORMALIZATION", [_tensor("a", x)], [(x.shape, DType.FLOAT)], {"a": x}, **lrn)
    window = {"filter_height": 3, "filter_width": 2, "stride_h": 2, "stride_w": 1, "padding": 0}
    _check("L2_POOL_2D", [_tensor("a", x)], [((2, 3, 5, 3), DType.FLOAT)], {"a": x}, **window)
    index = np.asarray([[0, 2], [5, -1]], np.int32)
    values = [_index(4), _index(2.5, np.float32), _index(-1.0, np.float32)]
    _check("ONE_HOT", [_tensor("a", index), *values], [((2, 4, 2), DType.FLOAT)], {"a": index}, axis=1)
    where, updates = np.asarray([[1], [3], [1]], np.int32), x[0, :3, 0]
    inputs = [_tensor("i", where), _tensor("u", updates), _index([5, 3])]
    _check("SCATTER_ND", inputs, [((5, 3), DType.FLOAT)], {"i": where, "u": updates})
    truth = x[0, 0] > 0
    _check("WHERE", [_tensor("a", truth)], [((int(truth.sum()), 2), DType.INT64)], {"a": truth})


@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("form", ["plain", "peepholes", "no_input_gate"])
def test_sequence_lstm_starts_afresh(form: str, time_major: bool) -> None:
    data, x = lstm_file(form, time_major=time_major)
    check_file(data, {"x": x})
    record("LSTM files")


def lstm_file(form: str = "plain", *, time_major: bool = False, **options: Any) -> tuple[bytes, Array]:
    """A file of UNIDIRECTIONAL_SEQUENCE_LSTM: 5 steps, batch 2, 3 features, 4 units."""
    generator = np.random.default_rng(3)

    def constant(name: str, *shape: int) -> TfTensor:
        return _tensor(name, generator.normal(scale=0.5, size=shape).astype(np.float32), constant=True)

    weights = [constant(f"w{k}", 4, 3) for k in range(4)] + [constant(f"r{k}", 4, 4) for k in range(4)]
    peepholes: list[TfTensor | None] = [constant(f"p{k}", 4) if form == "peepholes" else None for k in range(3)]
    biases = [constant(f"b{k}", 4) for k in range(4)]
    inputs: list[TfTensor | None] = [*weights, *peepholes, *biases, None, None]
    if form == "no_input_gate":
        inputs[0] = inputs[4] = inputs[11] = None
    x = generator.normal(size=(5, 2, 3) if time_major else (2, 5, 3)).astype(np.float32)
    states = [TfTensor(name, (2, 4), DType.FLOAT, is_variable=True) for name in ("h", "c")]
    options = {"fused_activation_function": 4, "time_major": time_major, **options}
    y = TfTensor("y", (*x.shape[:2], 4), DType.FLOAT)
    return single_file("UNIDIRECTIONAL_SEQUENCE_LSTM", [_tensor("x", x), *inputs, *states], [y], options), x


def test_what_onnx_lstm_lacks_is_refused() -> None:
    for options, words in (
        ({"cell_clip": 1.0}, "cell_clip"),
        ({"fused_activation_function": 0}, "its activation is NONE"),
    ):
        data, _ = lstm_file(**options)
        with pytest.raises(ModelError, match=f"y.*UNIDIRECTIONAL_SEQUENCE_LSTM.*{words}"):
            build_onnx(parse_tflite(data))


@BOUNDED
@given(st.data())
def test_int8_files(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from((*INT8_UNARY, "MAXIMUM", "MINIMUM", "REDUCE_MAX", "REDUCE_MIN", "LESS", "EQUAL")))
    shape = data.draw(shapes(1, 4))
    generator = np.random.default_rng(data.draw(st.integers(0, 2**20)))
    scale, zero = data.draw(st.sampled_from((0.011, 0.03, 0.1))), data.draw(st.integers(-20, 20))
    x_params = QuantParams((float(np.float32(scale)),), (zero if name != "LOG" else -128,), DType.INT8)
    q = generator.integers(-127, 128, shape).astype(np.int8)
    inputs, feed, y = [_tensor("a", q, quant=x_params)], {"a": q}, (shape, DType.INT8)
    y_params: QuantParams | None = x_params
    if name in INT8_UNARY:
        y_params = QuantParams(
            (float(np.float32(scale * data.draw(st.sampled_from((0.7, 1.0, 3.1))))),), (3,), DType.INT8
        )
    elif name.startswith("REDUCE"):
        inputs.append(_index([len(shape) - 1]))
        y = ((*shape[:-1], 1), DType.INT8)
    else:
        other = generator.integers(-127, 128, shape).astype(np.int8)
        inputs, feed = [*inputs, _tensor("b", other, quant=x_params)], {"a": q, "b": other}
    if name in {"LESS", "EQUAL"}:
        y, y_params = (shape, DType.BOOL), None
    options = {"keep_dims": True} if name.startswith("REDUCE") else {}
    steps = check_file(single_file(name, inputs, [TfTensor("y", y[0], y[1], None, y_params)], options), feed)
    record("random int8 files")
    assert steps.most == 0, steps


def test_an_imported_file_says_how_it_requantizes() -> None:
    params = QuantParams((0.1,), (0,), DType.INT8)
    tensors = [TfTensor(name, (4,), DType.INT8, None, params) for name in ("a", "y")]
    model = build_onnx(parse_tflite(single_file("ABS", tensors[:1], tensors[1:])))
    assert model.metadata_props["edgert.requantize"] == "q31"
    assert Interpreter(model).units
