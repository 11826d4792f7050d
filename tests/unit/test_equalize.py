"""Scales of channels and constants moved into biases: the function stays, the noise falls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.recipe import Algorithm
from edgert_converters.batch_norm_notes import ChannelMoments, note_moments, read_moments
from edgert_converters.engine import load_runner
from edgert_converters.quantize.absorb_bias import absorb_biases
from edgert_converters.quantize.calibrate import collect_statistics
from edgert_converters.quantize.chain import plan_draft, prepare
from edgert_converters.quantize.channel_paths import find_paths
from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.equalize import equalize, weight_scales
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.scheme import INT8
from edgert_converters.quantize.weighted import read_weighted

_PAIR = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1,8,6,6] x, float[8,8,1,1] w1, float[8] b1, float[8,1,3,3] w2, float[8] b2, float[4,8,1,1] w3, float[4] b3)
    => (float[1,4,6,6] y)
{
    [first] c = Conv(x, w1, b1)
    [act] r = ACT
    [depthwise] d = Conv<group=8, pads=[1,1,1,1]>(r, w2, b2)
    [last] y = Conv(d, w3, b3)
}
"""
_SUM = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1,8,6,6] x, float[8,8,1,1] w1, float[8,8,1,1] w2) => (float[1,8,6,6] y)
{
    [first] c = Conv(x, w1)
    [second] d = Conv(c, w2)
    [sum] y = Add(c, d)
}
"""
_FLAT = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1,3,4,4] x, float[6,3,3,3] w1, float[6] b1, float[5,24] w2, float[5] b2) => (float[1,5] y)
{
    [first] c = Conv<pads=[1,1,1,1]>(x, w1, b1)
    [act] r = Relu(c)
    [pool] p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
    [flat] f = Flatten(p)
    [last] y = Gemm<transB=1>(f, w2, b2)
}
"""
FLOAT_TOLERANCE = 1e-5
"""Of the largest output: scaled weights are rounded to float32 once more."""


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


def _model(text: str, uneven: bool = True) -> ir.Model:
    """All inputs but the first become seeded constants; channels of the first weights span two decades."""
    rng = np.random.default_rng(3)
    model = ir.from_onnx_text(text)
    for value in list(model.graph.inputs)[1:]:
        shape = tuple(int(d) for d in value.shape or ())
        array = rng.standard_normal(shape) * 0.5
        if uneven and value.name in {"w1", "b1"}:
            array = array * np.logspace(-1.5, 0, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
        value.const_value = ir.tensor(array.astype(np.float32), name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    infer = ir.passes.common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)
    return infer(model).model


def _calibration(model: ir.Model, count: int = 8) -> Calibration:
    rng = np.random.default_rng(1)
    shape = tuple(int(d) for d in model.graph.inputs[0].shape or ())
    samples = [{"x": rng.standard_normal(shape).astype(np.float32)} for _ in range(count)]
    return Calibration(lambda: samples, count, _silent)


def _outputs(model: ir.Model, calibration: Calibration) -> np.ndarray:
    run = load_runner(model)
    return np.concatenate([run(sample)["y"].ravel() for sample in calibration.samples()])


def _assert_same_function(before: ir.Model, after: ir.Model, calibration: Calibration) -> None:
    expected, got = _outputs(before, calibration), _outputs(after, calibration)
    assert np.abs(expected - got).max() <= FLOAT_TOLERANCE * np.abs(expected).max()


def _int8_sqnr_db(model: ir.Model, calibration: Calibration, *algorithms: Algorithm) -> float:
    settings = Settings(algorithms=frozenset(algorithms))
    draft = plan_draft(prepare(model, calibration, settings), INT8, calibration, settings)
    expected = _outputs(model, calibration)
    got = _outputs(apply_plan(draft.model, draft.final, DType.UINT8), calibration)
    return float(10 * np.log10(np.sum(expected**2) / np.sum((expected - got) ** 2)))


def _act(text: str) -> str:
    return _PAIR.replace("ACT", text)


@pytest.mark.parametrize("act", ["Relu(c)", "LeakyRelu<alpha=0.1>(c)", "Identity(c)"])
def test_scaling_keeps_the_function_and_gains(act: str) -> None:
    model = _model(_act(act))
    calibration = _calibration(model)
    draft = equalize(Draft(model), calibration, Settings())
    assert any(change.where == "first" for change in draft.changes)
    _assert_same_function(model, draft.model, calibration)
    gain = _int8_sqnr_db(model, calibration, Algorithm.EQUALIZE) - _int8_sqnr_db(model, calibration)
    assert gain > 1.0, "a channel of a thirtieth of the range had three bits"


def _model_with_clip() -> ir.Model:
    text = _act("Clip(c, low, high)").replace("(float[1,8,6,6] x,", "(float[1,8,6,6] x, float low, float high,")
    model = _model(text)
    model.graph.initializers["low"].const_value = ir.tensor(np.float32(0.0))
    model.graph.initializers["high"].const_value = ir.tensor(np.float32(3.0))
    return model


def test_samples_that_nobody_gave_do_not_tell_the_room_below_a_clip() -> None:
    model = _model_with_clip()
    given = _calibration(model)
    made_up = replace(given, is_made_up=True)
    first = [
        [change for change in equalize(Draft(model), calibration, Settings()).changes if change.where == "first"]
        for calibration in (given, made_up)
    ]
    assert first[0]
    assert not first[1]


def test_relu6_stays_and_only_channels_below_it_move() -> None:
    model = _model_with_clip()
    calibration = _calibration(model)
    draft = equalize(Draft(model), calibration, Settings())
    assert any(change.where == "first" for change in draft.changes)
    _assert_same_function(model, draft.model, calibration)
    assert [node.op_type for node in draft.model.graph] == [node.op_type for node in model.graph]


def test_flatten_and_pools_are_followed() -> None:
    model = _model(_FLAT)
    (path,) = [path for path in find_paths(model) if path.maker.name == "first"]
    assert path.readers[0].channels.tolist() == np.repeat(np.arange(6), 4).tolist()
    calibration = _calibration(model)
    _assert_same_function(model, equalize(Draft(model), calibration, Settings()).model, calibration)


def test_what_a_sum_reads_is_left_alone() -> None:
    model = _model(_SUM)
    assert find_paths(model) == []
    draft = Draft(model)
    assert equalize(draft, _calibration(model), Settings()) is draft


def test_even_channels_are_left_alone() -> None:
    model = _model(_act("Relu(c)"), uneven=False)
    for name in ("w1", "b1"):  # every channel is the first one again
        tensor = model.graph.initializers[name].const_value
        assert tensor is not None
        model.graph.initializers[name].const_value = ir.tensor(np.repeat(tensor.numpy()[:1], len(tensor.numpy()), 0))
    draft = equalize(Draft(model), _calibration(model), Settings())
    assert not [change for change in draft.changes if change.where == "first"]


def test_without_samples_the_weights_are_balanced() -> None:
    model = _model(_act("Relu(c)"))
    empty = Calibration(list, 0, _silent)
    draft = equalize(Draft(model), empty, Settings())
    _assert_same_function(model, draft.model, _calibration(model))
    nodes = {node.name: node for node in draft.model.graph}
    made = np.abs(read_weighted(nodes["first"]).weight).max(axis=(1, 2, 3))
    read = np.abs(read_weighted(nodes["depthwise"]).weight).max(axis=(1, 2, 3))
    np.testing.assert_allclose(made, read, rtol=0.01)
    assert all(np.all(np.abs(scale - 1) < 0.01) for scale in weight_scales(find_paths(draft.model)).values())


def test_a_note_on_a_normalisation_follows_its_channels() -> None:
    model = _model(_act("Relu(c)"))
    first = next(node for node in model.graph if node.name == "first")
    note_moments(first, ChannelMoments(np.full(8, 2.0), np.ones(8)))
    draft = equalize(Draft(model), _calibration(model), Settings())
    moved = read_moments(next(node for node in draft.model.graph if node.name == "first"))
    assert moved is not None
    assert moved.mean.max() > 2.5
    np.testing.assert_allclose(moved.mean / moved.std, 2.0, rtol=1e-6)


def test_a_constant_part_moves_into_the_next_bias() -> None:
    text = _act("Relu(c)").replace("<group=8, pads=[1,1,1,1]>", "<group=8>")
    model = _model(text.replace("[1,4,6,6] y", "[1,4,4,4] y"))
    model.graph.initializers["b1"].const_value = ir.tensor(np.full(8, 40.0, np.float32), name="b1")
    calibration = _calibration(model)
    draft = absorb_biases(Draft(model), calibration, Settings())
    assert [change.where for change in draft.changes] == ["first"]
    _assert_same_function(model, draft.model, calibration)
    before, after = (collect_statistics(m, ["r"], calibration.samples(), _silent)["r"] for m in (model, draft.model))
    assert after.histogram.maximum < 0.5 * before.histogram.maximum


def test_nothing_is_absorbed_where_zeros_are_padded() -> None:
    model = _model(_act("Relu(c)"))
    model.graph.initializers["b1"].const_value = ir.tensor(np.full(8, 40.0, np.float32), name="b1")
    draft = Draft(model)
    assert absorb_biases(draft, _calibration(model), Settings()) is draft
