"""Plan and insertion on hand-made graphs, run in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.errors import DataError
from edgert.quant import QuantParams
from edgert.recipe import RangeMethod
from edgert_converters import layer_errors
from edgert_converters.engine import load_runner
from edgert_converters.layer_errors import measure_layer_errors
from edgert_converters.quantize.bias_correction import correct_biases
from edgert_converters.quantize.calibrate import collect_statistics, expose_values
from edgert_converters.quantize.existing import is_quantized, strip_quantization
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.plan import Plan, make_plan, values_to_watch
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.rounding import round_weights
from edgert_converters.quantize.scheme import INT16X8

_TEXT = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1,4,8,8] x, float[6,4,3,3] w, float[6] b) => (float[1,6,8,8] y)
{
    [conv] c = Conv<pads=[1,1,1,1]>(x, w, b)
    [relu] r = Relu(c)
    [sigmoid] y = Sigmoid(r)
}
"""


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


def _model(text: str, seed: int = 0) -> ir.Model:
    """A model from ONNX text; all inputs but the first become constants with seeded normal values."""
    rng = np.random.default_rng(seed)
    model = ir.from_onnx_text(text)
    for value in list(model.graph.inputs)[1:]:
        shape = tuple(int(d) for d in value.shape or ())
        value.const_value = ir.tensor(rng.standard_normal(shape).astype(np.float32), name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    for node in model.graph:
        for output in node.outputs:
            output.type = output.type or ir.TensorType(ir.DataType.FLOAT)
    return model


def _samples(shape: Sequence[int], count: int = 8) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(count)]


def _plan(model: ir.Model, samples: list[dict[str, np.ndarray]], **kwargs: object) -> Plan:
    statistics = collect_statistics(model, values_to_watch(model), samples, _silent)
    plan = make_plan(model, statistics, RangeRule(RangeMethod.MIN_MAX), **kwargs)  # type: ignore[arg-type]
    return round_weights(model, plan)


def _sqnr_db(reference: np.ndarray, got: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(reference**2) / np.sum((reference - got) ** 2)))


@pytest.mark.parametrize("encoding", [DType.INT8, DType.UINT8])
def test_conv_relu_is_fused_and_close(encoding: DType) -> None:
    model, samples = _model(_TEXT), _samples((1, 4, 8, 8))
    plan = _plan(model, samples)
    assert plan.integer_nodes == {"conv", "relu", "sigmoid"}
    assert plan.fused_clamps == {"relu": "conv"}
    quantized = apply_plan(model, plan, encoding)
    assert [n.op_type for n in quantized.graph].count("Relu") == 0
    assert not is_quantized(model), "the float graph must stay as it was"
    expected, got = load_runner(model)(samples[0])["y"], load_runner(quantized)(samples[0])["y"]
    assert _sqnr_db(expected, got) > 35


def test_both_encodings_hold_the_same_integers() -> None:
    model, samples = _model(_TEXT), _samples((1, 4, 8, 8))
    plan = _plan(model, samples)
    outputs = [load_runner(apply_plan(model, plan, e))(samples[0])["y"] for e in (DType.INT8, DType.UINT8)]
    assert np.array_equal(*outputs)


def test_no_unused_constants_are_left() -> None:
    model, samples = _model(_TEXT), _samples((1, 4, 8, 8))
    quantized = apply_plan(model, _plan(model, samples), DType.UINT8)
    assert all(value.uses() for value in quantized.graph.initializers.values())


def test_a_layer_kept_float_keeps_its_relu() -> None:
    model, samples = _model(_TEXT), _samples((1, 4, 8, 8))
    plan = _plan(model, samples, keep_float=frozenset({"conv"}))
    assert plan.integer_nodes == frozenset(), "nothing is left to stand beside an integer operator"
    assert plan.fused_clamps == {}
    assert [f.reason for f in plan.float_layers if f.name == "conv"] == ["kept float on request"]
    got = load_runner(apply_plan(model, plan, DType.UINT8))(samples[0])["y"]
    assert np.array_equal(load_runner(model)(samples[0])["y"], got)


def test_the_bias_takes_back_the_shift_of_rounded_weights() -> None:
    model, samples = _model(_TEXT), _samples((1, 4, 8, 8))
    samples = [{"x": np.abs(sample["x"])} for sample in samples]
    plan = _plan(model, samples)
    statistics = collect_statistics(model, values_to_watch(model), samples, _silent)
    corrected = apply_plan(model, correct_biases(model, plan, statistics), DType.UINT8)
    plain = apply_plan(model, plan, DType.UINT8)
    expected = load_runner(expose_values(model, ["r"]))
    shifts = []
    for quantized in (corrected, plain):
        run = load_runner(expose_values(quantized, ["r"]))
        errors = [run(sample)["r"] - expected(sample)["r"] for sample in samples]
        shifts.append(np.abs(np.mean(errors, axis=(0, 1, 3, 4))).mean())
    assert shifts[0] < shifts[1]


def test_a_mover_adds_no_noise_of_its_own() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 18]>
    net (float[1,4,8,8] x, float[4,4,1,1] w) => (float[1,32,8] y)
    {
        [conv] c = Conv(x, w)
        [mover] t = Transpose<perm=[0,1,3,2]>(c)
        [scores] y = Squeeze(t)
    }
    """
    model, samples = _model(text.replace("float[1,32,8] y", "float[4,8,8] y")), _samples((1, 4, 8, 8))
    plan = _plan(model, samples)
    errors = measure_layer_errors(model, apply_plan(model, plan, DType.UINT8), plan, samples, _silent)
    by_name = {error.name: error for error in errors}
    assert by_name["conv"].added_noise > 0
    assert abs(by_name["mover"].added_noise) < 0.01 * by_name["conv"].added_noise


def test_layers_measured_in_groups_have_the_same_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = _model(_BRANCHES), _samples((1, 4, 8, 8))
    plan = _plan(model, samples)
    quantized = apply_plan(model, plan, DType.UINT8)
    told: list[int] = []
    found = []
    for limit in (1 << 20, 4 * 8 * 8 * 4):
        monkeypatch.setattr(layer_errors, "_GROUP_BYTES", limit)
        found.append(measure_layer_errors(model, quantized, plan, samples, lambda _, done, total: told.append(done)))
    assert told == [3, 1, 2, 3], "the smaller limit has room for one layer"
    assert [error.name for error in found[0]] == ["conv1", "conv2", "join"]
    assert found[0] == found[1]


_BRANCHES = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1,4,8,8] x, float[4,4,1,1] w1, float[4,4,1,1] w2) => (float[1,8,8,8] y)
{
    [conv1] a = Conv(x, w1)
    [conv2] b = Conv(x, w2)
    [join] y = Concat<axis=1>(a, b)
}
"""


@pytest.mark.parametrize(("factor", "kept"), [(1.0, False), (100.0, True)])
def test_a_concat_of_unequal_ranges_stays_float_and_is_reported(factor: float, kept: bool) -> None:
    model, samples = _model(_BRANCHES), _samples((1, 4, 8, 8))
    weight = model.graph.initializers["w1"]
    assert weight.const_value is not None
    weight.const_value = ir.tensor((weight.const_value.numpy() * factor).astype(np.float32), name="w1")
    plan = _plan(model, samples)
    reasons = [f.reason for f in plan.float_layers if f.name == "join"]
    assert ("join" in plan.integer_nodes) is not kept
    assert (len(reasons) == 1 and "ranges differ by" in reasons[0]) is kept
    expected = load_runner(model)(samples[0])["y"]
    got = load_runner(apply_plan(model, plan, DType.UINT8))(samples[0])["y"]
    for half in (slice(0, 4), slice(4, 8)):
        assert _sqnr_db(expected[:, half], got[:, half]) > 28


def test_branches_of_unequal_ranges_share_16_bits() -> None:
    model, samples = _model(_BRANCHES), _samples((1, 4, 8, 8))
    weight = model.graph.initializers["w1"]
    assert weight.const_value is not None
    weight.const_value = ir.tensor((weight.const_value.numpy() * 100).astype(np.float32), name="w1")
    plan = _plan(model, samples, scheme=INT16X8)
    assert "join" in plan.integer_nodes
    assert not plan.float_layers
    expected = load_runner(model)(samples[0])["y"]
    got = load_runner(apply_plan(model, plan, DType.INT16))(samples[0])["y"]
    for half in (slice(0, 4), slice(4, 8)):
        assert _sqnr_db(expected[:, half], got[:, half]) > 38


def test_movers_share_the_parameters_of_their_input() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 18]>
    net (float[1,4,8,8] x, float[4,4,1,1] w, float[4,4,1,1] v) => (float[1,4,2,2] y)
    {
        [pool] p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)
        [conv] c = Conv(p, w)
        [pool2] q = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c)
        [conv2] y = Conv(q, v)
    }
    """
    model = _model(text)
    plan = _plan(model, _samples((1, 4, 8, 8)))
    assert plan.params["p"] == plan.params["x"]
    assert plan.params["q"] == plan.params["c"]


def test_scores_keep_their_peaks_and_probabilities_their_scale() -> None:
    model = _model(_TEXT)
    samples = _samples((1, 4, 8, 8))
    statistics = collect_statistics(model, values_to_watch(model), samples, _silent)
    plan = round_weights(model, make_plan(model, statistics, RangeRule(RangeMethod.PERCENTILE, 90.0)))
    assert plan.params["y"] == QuantParams((1 / 256,), (-128,), DType.INT8)
    peak = statistics["r"].histogram.maximum
    top = (127 - plan.params["r"].zero_point[0]) * plan.params["r"].scale[0]
    assert top == pytest.approx(peak, rel=0.01), "what feeds the answer keeps its largest value"
    assert (127 - plan.params["x"].zero_point[0]) * plan.params["x"].scale[0] < statistics["x"].histogram.maximum


def test_arithmetic_away_from_weights_stays_float() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 18]>
    net (float[1,4,8,8] x, float[1] s, float[4,4,1,1] w) => (float[1,4,8,8] y)
    {
        [scale] a = Mul(x, s)
        [conv] y = Conv(a, w)
    }
    """
    plan = _plan(_model(text), _samples((1, 4, 8, 8)))
    assert plan.integer_nodes == {"conv"}


def test_an_empty_calibration_set_is_refused() -> None:
    model = _model(_TEXT)
    with pytest.raises(DataError, match="calibration set is empty"):
        collect_statistics(model, values_to_watch(model), [], _silent)


def test_stripping_gives_the_float_model_back() -> None:
    model, samples = _model(_TEXT), _samples((1, 4, 8, 8))
    quantized = apply_plan(model, _plan(model, samples), DType.UINT8)
    stripped = strip_quantization(quantized)
    assert is_quantized(quantized)
    assert not is_quantized(stripped)
    assert [n.op_type for n in stripped.graph] == ["Conv", "Relu", "Sigmoid"]
    expected, got = load_runner(model)(samples[0])["y"], load_runner(stripped)(samples[0])["y"]
    assert np.abs(got - expected).max() < 0.05


def test_real_network_keeps_its_answers(zoo: Path) -> None:
    model = ir.load(zoo / "models" / "resnet20_cifar10.onnx")
    data = np.load(zoo / "data" / "cifar10_test_jpegdegraded_500.npz")["images"][:60]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    images = ((data / 255 - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
    samples = [{"input": image[None]} for image in images]
    for node in model.graph:
        for output in node.outputs:
            output.type = output.type or ir.TensorType(ir.DataType.FLOAT)
    quantized = apply_plan(model, _plan(model, samples[:20]), DType.UINT8)
    run, run_int8 = load_runner(model), load_runner(quantized)
    same = [run(s)["logits"].argmax() == run_int8(s)["logits"].argmax() for s in samples[20:]]
    assert np.mean(same) >= 0.9


_UNPOOLING = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1,4,8,8] x, float[6,4,3,3] w, float[2,6,3,3] v) => (float[1,2,8,8] y)
{
    [first] c = Conv<pads=[1,1,1,1]>(x, w)
    [pool] p, where = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c)
    [unpool] u = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(p, where)
    [last] y = Conv<pads=[1,1,1,1]>(u, v)
}
"""


def test_an_operator_with_an_index_output_stays_float() -> None:
    model, samples = _model(_UNPOOLING), _samples((1, 4, 8, 8))
    for node in model.graph:
        if node.name == "pool":
            node.outputs[1].type = ir.TensorType(ir.DataType.INT64)
    plan = _plan(model, samples)
    assert plan.integer_nodes == {"first", "last"}
    assert {layer.name: layer.reason for layer in plan.float_layers}["pool"] == "one of its outputs is not float"
    quantized = apply_plan(model, plan, DType.UINT8)
    reference, got = (load_runner(m)(samples[0])["y"] for m in (model, quantized))
    # a rounded maximum may stand in another place, so single values differ; the map as a whole does not
    assert _sqnr_db(reference, got) > 15


_DILATED_POOL = """
<ir_version: 9, opset_import: ["" : 19]>
net (float[1,4,8,8] x, float[6,4,3,3] w) => (float[1,6,6,6] y)
{
    [conv] c = Conv<pads=[1,1,1,1]>(x, w)
    [pool] y = AveragePool<kernel_shape=[2,2], dilations=[DILATION,DILATION]>(c)
}
"""


@pytest.mark.parametrize(("dilation", "integer"), [(2, False), (1, True)])
def test_dilated_average_pooling_stays_float(dilation: int, integer: bool) -> None:
    text = _DILATED_POOL.replace("DILATION", str(dilation))
    model, samples = _model(text.replace("[1,6,6,6]", "[1,6,7,7]") if integer else text), _samples((1, 4, 8, 8))
    plan = _plan(model, samples)
    assert ("pool" in plan.integer_nodes) == integer
    reference, got = (load_runner(m)(samples[0])["y"] for m in (model, apply_plan(model, plan, DType.UINT8)))
    assert _sqnr_db(reference, got) > 25
