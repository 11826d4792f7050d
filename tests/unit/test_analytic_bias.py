"""What a folded normalisation leaves behind, and biases corrected with it alone."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir
import pytest

from edgert.errors import ModelError
from edgert_converters.batch_norm_notes import BATCH_NORM_KEY, ChannelMoments, note_moments, read_moments
from edgert_converters.exporters.onnx import serialize
from edgert_converters.passes.fold_batch_norm import fold_batch_norm
from edgert_converters.quantize.analytic_bias import correct_biases_analytically
from edgert_converters.quantize.bias_correction import correct_biases
from edgert_converters.quantize.calibrate import collect_statistics
from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.moments import clipped_normal, known_moments
from edgert_converters.quantize.plan import make_plan, values_to_watch
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.rounding import round_weights

_TEXT = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1,4,8,8] x, float[6,4,1,1] w, float[6] g, float[6] beta, float[6] mu, float[6] var, float[5,6,1,1] w2,
    float[5] b2) => (float[1,5,8,8] y)
{
    [conv] c = Conv(x, w)
    [norm] n = BatchNormalization(c, g, beta, mu, var)
    [relu] r = Relu(n)
    [last] y = Conv(r, w2, b2)
}
"""


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


def _folded() -> ir.Model:
    rng = np.random.default_rng(5)
    model = ir.from_onnx_text(_TEXT)
    for value in list(model.graph.inputs)[1:]:
        array = rng.standard_normal(tuple(int(d) for d in value.shape or ()))
        array = np.abs(array) + 0.5 if value.name == "var" else array
        value.const_value = ir.tensor(array.astype(np.float32), name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    for node in model.graph:
        for output in node.outputs:
            output.type = output.type or ir.TensorType(ir.DataType.FLOAT)
    assert fold_batch_norm(model) == 1
    return model


def _conv(model: ir.Model) -> ir.Node:
    return next(node for node in model.graph if node.name == "conv")


def test_the_fold_notes_mean_and_deviation() -> None:
    model = _folded()
    moments = read_moments(_conv(model))
    assert moments is not None
    rng = np.random.default_rng(5)
    rng.standard_normal((6, 4, 1, 1))
    gamma, beta = rng.standard_normal(6), rng.standard_normal(6)
    np.testing.assert_allclose(moments.std, np.abs(gamma), rtol=1e-6)
    np.testing.assert_allclose(moments.mean, beta, rtol=1e-6)


def test_the_note_survives_clones_and_files_of_ours_but_not_written_ones() -> None:
    model = _folded()
    assert BATCH_NORM_KEY in _conv(model.clone()).metadata_props
    again = ir.from_proto(type(ir.to_proto(model)).FromString(ir.to_proto(model).SerializeToString()))
    assert read_moments(_conv(again)) is not None
    assert BATCH_NORM_KEY.encode() not in serialize(model)


@pytest.mark.parametrize("text", ["!", "AAAAAAAA"], ids=["no base64", "no pairs of numbers"])
def test_a_damaged_note_is_named(text: str) -> None:
    model = _folded()
    _conv(model).metadata_props[BATCH_NORM_KEY] = text
    with pytest.raises(ModelError, match=r"'edgert.batch_norm' cannot be read.*convert again"):
        known_moments(model)


@pytest.mark.parametrize(("low", "high"), [(0.0, math.inf), (0.0, 6.0), (-1.0, 1.0), (-math.inf, math.inf)])
def test_clipped_normal_equals_a_simulation(low: float, high: float) -> None:
    mean, std = np.array([-2.0, 0.0, 0.3, 5.0]), np.array([1.0, 0.5, 2.0, 3.0])
    found = clipped_normal(ChannelMoments(mean, std), low, high)
    drawn = np.clip(mean + std * np.random.default_rng(0).standard_normal((400_000, 4)), low, high)
    np.testing.assert_allclose(found.mean, drawn.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(found.std, drawn.std(axis=0), atol=0.02)


def test_derived_means_correct_like_measured_ones() -> None:
    """Inputs for which the notes are true: both corrections must then agree, and change something."""
    model = _folded()
    rng = np.random.default_rng(0)
    samples = [{"x": rng.standard_normal((1, 4, 8, 8)).astype(np.float32)} for _ in range(200)]
    statistics = collect_statistics(model, values_to_watch(model), samples, _silent)
    names = {node.name: str(node.outputs[0].name) for node in model.graph}
    values = np.concatenate([_run(model, names["conv"], sample) for sample in samples])
    note_moments(_conv(model), ChannelMoments(values.mean(axis=(0, 2, 3)), values.std(axis=(0, 2, 3))))
    plan = round_weights(model, make_plan(model, statistics, RangeRule()))
    calibration = Calibration(list, 0, _silent)
    derived = correct_biases_analytically(Draft(model, statistics, plan), calibration, Settings()).final
    measured = correct_biases(model, plan, statistics)
    plain, found, expected = (p.weights["last"].bias for p in (plan, derived, measured))
    assert plain is not None
    assert found is not None
    assert expected is not None
    moved = np.abs(expected.astype(int) - plain)
    assert moved.max() > 3
    assert np.abs(found.astype(int) - expected).max() <= max(2.0, 0.15 * moved.max())


def test_without_notes_nothing_changes() -> None:
    model = _folded()
    _conv(model).metadata_props.clear()
    samples = [{"x": np.ones((1, 4, 8, 8), np.float32)}]
    statistics = collect_statistics(model, values_to_watch(model), samples, _silent)
    plan = round_weights(model, make_plan(model, statistics, RangeRule()))
    after = correct_biases_analytically(Draft(model, statistics, plan), Calibration(list, 0, _silent), Settings())
    assert after.final.weights["last"] is plan.weights["last"]
    assert "no folded normalisation" in after.changes[0].why


def _run(model: ir.Model, name: str, sample: dict[str, np.ndarray]) -> np.ndarray:
    from edgert_converters.engine import load_runner
    from edgert_converters.quantize.calibrate import expose_values

    return np.asarray(load_runner(expose_values(model, [name]))(sample)[name])
