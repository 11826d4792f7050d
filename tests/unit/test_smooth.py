"""SmoothQuant: what it gains, where it folds scales, and that it leaves alone what gains nothing."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.recipe import Algorithm
from edgert_converters.engine import load_runner
from edgert_converters.quantize.chain import plan_draft, prepare
from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.refusals import KEEP_FLOAT
from edgert_converters.quantize.scheme import INT8
from edgert_converters.quantize.smooth import smooth
from edgert_converters.quantize.transforms.axis_statistics import AxisStatistics
from tests.outlier_example import SETTINGS, assert_same_function, calibration_of, model_of, silent

pytest.importorskip("onnxruntime")

_INPUT = """
net (float[1,16,8,8] x, float[24,16,3,3] w, float[24] b, float[8,24,1,1] v) => (float[1,8,8,8] y)
{
    [first] c = Conv<pads=[1,1,1,1]>(x, w, b)
    [relu] r = Relu(c)
    [second] y = Conv(r, v)
}
"""
_NORM = """
net (float[1,6,16] x, float[16] g, float[16] b, float[16,16] w1, float[16,8] w2) => (float[1,6,8] y, float[1,6,16] k)
{
    [norm] n = LayerNormalization<axis=-1>(x, g, b)
    [key] k = MatMul(n, w1)
    [value] y = MatMul(n, w2)
}
"""
_ROWS = """
net (float[1,16,12] x, float[12,12] w1, float[16,16] w2) => (float[1,12,16] y)
{
    [along] a = MatMul(x, w1)
    [turn] t = Transpose<perm=[0,2,1]>(a)
    [across] y = MatMul(t, w2)
}
"""


_BEFORE_NORM = """
net (float[1,6,16] x, float[16,16] w, float[16] c, float[16] g, float[16] b, float[16,16] v)
    => (float[1,6,16] y)
{
    [make] m = MatMul(x, w)
    [shift] s = Add(m, c)
    [norm] n = LayerNormalization<axis=-1>(s, g, b)
    [read] y = MatMul(n, v)
}
"""


def _quantized_db(model: ir.Model, calibration: Calibration, *algorithms: Algorithm) -> float:
    settings = Settings(SETTINGS.ranges, frozenset(algorithms))
    draft = plan_draft(prepare(model, calibration, settings), INT8, calibration, settings)
    expected, found = load_runner(model), load_runner(apply_plan(draft.model, draft.final, DType.UINT8))
    signal = noise = 0.0
    for sample in calibration.samples():
        for name, values in expected(sample).items():
            signal += float(np.square(values).sum())
            noise += float(np.square(np.subtract(found(sample)[name], values)).sum())
    return 10 * float(np.log10(signal / noise))


def test_an_outlier_channel_of_the_input_is_scaled_in_float_and_costs_nothing_any_more() -> None:
    model = model_of(_INPUT)
    calibration = calibration_of(model, outlier=20.0)
    draft = smooth(Draft(model), calibration, SETTINGS)
    assert_same_function(model, draft.model, calibration)
    (change,) = [change for change in draft.changes if change.where == "first"]
    assert "folded into nothing; Mul in float behind 'x'" in change.what
    (added,) = [node for node in draft.model.graph if KEEP_FLOAT in node.metadata_props]
    assert added.op_type == "Mul"
    factor = added.inputs[1].const_value.numpy().ravel()  # type: ignore[union-attr]
    assert factor.argmin() == 3 and factor[3] < 0.3 * np.median(factor)
    assert _quantized_db(model, calibration, Algorithm.SMOOTH) > _quantized_db(model, calibration) + 5.0


def test_a_norm_takes_the_scale_up_when_all_its_readers_can_take_it_back() -> None:
    model = model_of(_NORM)
    gains = model.graph.initializers["g"]
    values = np.ones(16, np.float32)
    values[3] = 20.0
    gains.const_value = ir.tensor(values, name="g")
    calibration = calibration_of(model, axis=2)
    draft = smooth(Draft(model), calibration, SETTINGS)
    (change,) = draft.changes
    assert "folded into 'norm'" in change.what and "2 operators" in change.why
    assert len(list(draft.model.graph)) == 3, "nothing is inserted"
    assert_same_function(model, draft.model, calibration)


def test_an_outlier_channel_that_a_norm_reads_is_scaled_back_in_float_in_front_of_it() -> None:
    model = model_of(_BEFORE_NORM)
    weight = model.graph.initializers["w"]
    assert weight.const_value is not None
    values = weight.const_value.numpy().copy()
    values[:, 5] *= 100.0
    weight.const_value = ir.tensor(values, name="w")
    calibration = calibration_of(model, axis=2)
    draft = smooth(Draft(model), calibration, SETTINGS)
    change = draft.changes[0]
    assert change.where == "make" and "back in float behind 's'" in change.what
    (added,) = [node for node in draft.model.graph if KEEP_FLOAT in node.metadata_props]
    assert added.metadata_props[KEEP_FLOAT] == "put in by smooth_output, after its input was quantized"
    assert_same_function(model, draft.model, calibration)
    assert _quantized_db(model, calibration, Algorithm.SMOOTH) > _quantized_db(model, calibration) + 3.0


def test_positions_that_a_matmul_treats_alike_are_scaled_too() -> None:
    model = model_of(_ROWS)
    calibration = calibration_of(model, outlier=30.0)
    draft = smooth(Draft(model), calibration, SETTINGS)
    (change,) = draft.changes
    assert change.where == "along" and change.what.startswith("16 channels"), "not the 12 it sums over"
    assert_same_function(model, draft.model, calibration)
    assert _quantized_db(model, calibration, Algorithm.SMOOTH) > _quantized_db(model, calibration) + 5.0


def test_a_second_round_scales_the_other_axis_of_what_the_first_one_scaled() -> None:
    model = model_of(_ROWS)
    channels = calibration_of(model, outlier=30.0, axis=2)
    rows = np.ones((16, 1), np.float32)
    rows[5] = 30.0
    samples = [{"x": sample["x"] * rows} for sample in channels.samples()]
    calibration = Calibration(lambda: samples, len(samples), silent)
    draft = smooth(Draft(model), calibration, SETTINGS)
    assert {change.what.split(" channels")[0] for change in draft.changes} == {"12", "16"}
    assert_same_function(model, draft.model, calibration)
    assert _quantized_db(model, calibration, Algorithm.SMOOTH) > _quantized_db(model, calibration) + 3.0


def test_even_channels_and_graphs_without_weights_are_left_alone() -> None:
    model = model_of(_INPUT)
    weights = model.graph.initializers["v"]
    weights.const_value = ir.tensor(np.full((8, 24, 1, 1), 0.2, np.float32), name="v")
    draft = smooth(Draft(model), calibration_of(model), SETTINGS)
    assert not any("Mul in float" in change.what for change in draft.changes), "3 dB are not to be had"
    nothing = Draft(model_of("net (float[1,4] x) => (float[1,4] y) { [relu] y = Relu(x) }"))
    assert smooth(nothing, calibration_of(nothing.model), SETTINGS) is nothing


def test_dead_channels_stay_finite() -> None:
    model = model_of(_INPUT)
    calibration = calibration_of(model, outlier=0.0)
    factor = np.where(np.arange(16) == 5, 30, 1)[:, None, None].astype(np.float32)
    samples = [{"x": np.multiply(sample["x"], factor)} for sample in calibration.samples()]
    calibration = Calibration(lambda: samples, len(samples), silent)
    draft = smooth(Draft(model), calibration, SETTINGS)
    assert draft.changes
    assert all(np.isfinite(value.const_value.numpy()).all() for value in draft.model.graph.initializers.values())  # type: ignore[union-attr]
    assert_same_function(model, draft.model, calibration)


def test_axis_statistics_follow_every_axis_and_drop_those_that_vary() -> None:
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal((1, size, 3)).astype(np.float32) for size in (4, 4, 5)]
    statistics = AxisStatistics(2)
    for sample in samples:
        statistics.update(sample)
    rows = np.concatenate([sample[0] for sample in samples])
    assert np.allclose(statistics.largest(2), np.abs(rows).max(axis=0))
    assert statistics.largest(1).size == 0
    assert np.allclose(statistics.moments(), rows.T @ rows / len(rows), atol=1e-6)
    with pytest.raises(ValueError, match="second moments are kept of the axis given at the start"):
        AxisStatistics().moments()
