"""Channel reconstruction: the closed form, what it may mix, and what it leaves of the rounding error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edgert.quant import dequantize
from edgert.recipe import DEFAULT_ALGORITHMS, Algorithm, Recipe
from edgert.recipe_file import load_recipe
from edgert_converters.data import load_dataset
from edgert_converters.engine import load_runner
from edgert_converters.exporters.onnx import serialize
from edgert_converters.importers import import_model
from edgert_converters.passes.pipeline import infer_shapes
from edgert_converters.quantize.chain import chain_settings, plan_draft, prepare
from edgert_converters.quantize.channel_reconstruction import channel_shares, reconstruct_channels
from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.scheme import INT8, Scheme
from edgert_converters.quantize.weight_edits import write_weighted

_INT4 = Scheme(weight_bits=4)
_RIDGE = 0.008
_BIASED = Settings(algorithms=frozenset([Algorithm.BIAS_CORRECTION]))
_HEAD = '<ir_version: 8, opset_import: ["" : 18]>\nnet (float[1,8,6,6] x, float[8,8,1,1] w0, float[8] b0, '
_READERS = {
    "conv": "float[5,8,3,3] w1, float[5] b1) => (float[1,5,6,6] y) {[a] c = Conv(x, w0, b0)"
    "\n[b] y = Conv<pads=[1,1,1,1]>(c, w1, b1)}",
    "groups": "float[6,4,3,3] w1, float[6] b1) => (float[1,6,6,6] y) {[a] c = Conv(x, w0, b0)"
    "\n[b] y = Conv<pads=[1,1,1,1], group=2>(c, w1, b1)}",
    "flattened": "float[288,5] w1, float[5] b1) => (float[1,5] y) {[a] c = Conv(x, w0, b0)\n[f] d = Flatten(c)"
    "\n[b] y = Gemm(d, w1, b1)}",
    "flattened, transB": "float[5,288] w1, float[5] b1) => (float[1,5] y) {[a] c = Conv(x, w0, b0)\n"
    "[f] d = Flatten(c)\n[b] y = Gemm<transB=1, alpha=0.5>(d, w1, b1)}",
}
_LEFT = {"conv": 0.2, "groups": 0.75, "flattened": 0.2, "flattened, transB": 0.2}
"""Eight channels of eight inputs span all that was lost, four of them half of it; the ridge keeps some of it."""
_LOOK_ALIKES = {
    "ConvTranspose": "float[8,5,3,3] w1, float[5] b1) => (float[1,5,8,8] y) {[a] c = Conv(x, w0, b0)"
    "\n[b] y = ConvTranspose(c, w1, b1)}",
    "no bias": "float[5,8,3,3] w1) => (float[1,5,4,4] y) {[a] c = Conv(x, w0, b0)\n[b] y = Conv(c, w1)}",
    "depthwise": "float[8,1,3,3] w1, float[8] b1) => (float[1,8,4,4] y) {[a] c = Conv(x, w0, b0)"
    "\n[b] y = Conv<group=8>(c, w1, b1)}",
    "read twice": "float[8,8,1,1] w1, float[8] b1) => (float[1,8,6,6] y) {[a] c = Conv(x, w0, b0)"
    "\n[b] d = Conv(c, w1, b1)\n[s] y = Add(c, d)}",
}


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


def _rows(count: int, size: int, steps: float = 4.0) -> tuple[np.ndarray, np.ndarray]:
    wanted = np.random.default_rng(2).standard_normal((count, size))
    return wanted, np.rint(wanted * steps) / steps


def _model(text: str) -> ir.Model:
    rng = np.random.default_rng(4)
    model = ir.from_onnx_text(_HEAD + text)
    for value in list(model.graph.inputs)[1:]:
        assert value.shape is not None
        values = rng.standard_normal(value.shape.numpy()).astype(np.float32)
        value.const_value = ir.tensor(values / np.float32(3.0), name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    infer_shapes(model)
    return model


def _calibration(samples: Sequence[dict[str, np.ndarray]]) -> Calibration:
    return Calibration(lambda: samples, len(samples), _silent)


def _noise() -> Calibration:
    rng = np.random.default_rng(6)
    return _calibration([{"x": rng.standard_normal((1, 8, 6, 6)).astype(np.float32)} for _ in range(16)])


def _draft(model: ir.Model, calibration: Calibration, scheme: Scheme, settings: Settings = _BIASED) -> Draft:
    return plan_draft(prepare(model, calibration, settings), scheme, calibration, settings)


def _damaged(text: str, calibration: Calibration) -> Draft:
    """`a` has 4-bit weights, `b` 8-bit ones: what is lost is `a`'s, not what rounding `b` again takes."""
    model = _model(text)
    draft, coarse = (_draft(model, calibration, scheme).final for scheme in (INT8, _INT4))
    draft = replace(draft, weights={**draft.weights, "a": coarse.weights["a"]})
    return replace(prepare(model, calibration, _BIASED), plan=draft)


def _error_power(draft: Draft, plans: dict[str, Plan], value: str, samples: Calibration) -> float:
    """Of an inner value, where the named operators have the weights of a plan and all activations are float."""
    copy = draft.model.clone()
    for node in copy.graph:
        if node.name in plans:
            rounded = plans[node.name].weights[node.name]
            assert rounded.bias is not None
            assert rounded.bias_params is not None
            bias = dequantize(rounded.bias, rounded.bias_params)
            write_weighted(copy.graph, node, dequantize(rounded.weight, rounded.weight_params), bias)
    runs = []
    for model in (draft.model.clone(), copy):
        model.graph.outputs[:] = [next(v for node in model.graph for v in node.outputs if v.name == value)]
        run = load_runner(model)
        runs.append(np.stack([np.asarray(run(sample)[value], np.float64) for sample in samples.samples()]))
    return float(np.sum((runs[0] - runs[1]) ** 2))


def test_the_closed_form_is_a_least_squares_fit_with_a_ridge() -> None:
    wanted, rounded = _rows(6, 9)
    shares, left = channel_shares(wanted, rounded, np.zeros(6, np.int64), clamped=False)
    ridge = np.sqrt(_RIDGE * np.mean(np.sum(rounded**2, axis=1))) * np.eye(6)
    error = wanted - rounded
    targets = np.concatenate([error.T, np.zeros((6, 6))])
    fitted = np.linalg.lstsq(np.concatenate([rounded.T, ridge]), targets, rcond=None)[0].T
    np.testing.assert_allclose(shares, fitted, rtol=1e-9, atol=1e-12)
    assert left == pytest.approx(np.sum((error - shares @ rounded) ** 2) / np.sum(error**2))
    assert left < 0.6


def test_behind_a_relu_the_closed_form_is_the_fit_to_samples() -> None:
    wanted, rounded = _rows(5, 4, steps=200.0)
    shares, left = channel_shares(wanted, rounded, np.zeros(5, np.int64), clamped=True)
    x = np.random.default_rng(3).standard_normal((4, 400_000))
    got = np.maximum(rounded @ x, 0.0)
    lost = np.maximum(wanted @ x, 0.0) - got
    got, lost = (values - values.mean(axis=1, keepdims=True) for values in (got, lost))
    gram, cross = got @ got.T / x.shape[1], lost @ got.T / x.shape[1]
    fitted = np.linalg.solve(gram + _RIDGE * np.trace(gram) / 5 * np.eye(5), cross.T).T
    np.testing.assert_allclose(shares, fitted, atol=0.03 * np.abs(fitted).max())
    assert left == pytest.approx(np.sum((lost - fitted @ got) ** 2) / np.sum(lost**2), abs=0.01)


def test_channels_of_different_groups_are_fitted_alone() -> None:
    wanted, rounded = _rows(6, 9)
    groups = np.array([0, 0, 1, 1, 1, 2])
    shares, _ = channel_shares(wanted, rounded, groups, clamped=False)
    assert not np.any(shares[groups[:, None] != groups[None, :]])
    pair, _ = channel_shares(wanted[:2], rounded[:2], np.zeros(2, np.int64), clamped=False)
    np.testing.assert_allclose(shares[:2, :2], pair)
    alone = (wanted[5] - rounded[5]) @ rounded[5] / (rounded[5] @ rounded[5])
    assert shares[5, 5] == pytest.approx(alone)


@pytest.mark.parametrize(("name", "most"), _LEFT.items())
def test_the_reader_makes_up_for_what_rounding_took(name: str, most: float) -> None:
    calibration = _noise()
    old = _damaged(_READERS[name], calibration)
    before = serialize(old.model)
    new = reconstruct_channels(old, calibration, _BIASED)
    assert [change.where for change in new.changes] == ["a"]
    assert serialize(new.model) == before, "the float graph is not the step's to change"
    assert new.final.weights["a"] is old.final.weights["a"]
    was, now = old.final.weights["b"], new.final.weights["b"]
    assert now.weight.shape == was.weight.shape
    assert int(np.abs(now.weight).max()) == 127
    assert not np.array_equal(now.weight, was.weight)
    error = _error_power(old, {"a": old.final, "b": old.final}, "y", calibration)
    assert _error_power(old, {"a": old.final, "b": new.final}, "y", calibration) < most * error


def test_the_mean_of_each_output_channel_stays() -> None:
    calibration = _noise()
    old = _draft(_model(_READERS["flattened"]), calibration, _INT4)
    new = reconstruct_channels(old, calibration, _BIASED)
    means = old.statistics["d"].channel_means()
    assert means is not None
    outputs = []
    for plan in (old.final, new.final):
        rounded = plan.weights["b"]
        assert rounded.bias is not None
        assert rounded.bias_params is not None
        bias = dequantize(rounded.bias, rounded.bias_params)
        outputs.append(means @ dequantize(rounded.weight, rounded.weight_params) + bias)
    step = new.final.weights["b"].bias_params
    assert step is not None
    np.testing.assert_allclose(outputs[1], outputs[0], atol=0.51 * max(step.scale))


@pytest.mark.parametrize("name", _LOOK_ALIKES)
def test_what_cannot_be_mixed_is_left_alone(name: str) -> None:
    calibration = _noise()
    old = _draft(_model(_LOOK_ALIKES[name]), calibration, _INT4)
    new = reconstruct_channels(old, calibration, _BIASED)
    assert new.changes == old.changes
    assert all(new.final.weights[node] is weights for node, weights in old.final.weights.items())


def test_it_is_off_unless_asked_for_and_then_part_of_the_chain() -> None:
    assert Algorithm.CHANNEL_RECONSTRUCTION not in DEFAULT_ALGORITHMS
    settings = chain_settings(Recipe(Path("net.onnx"), algorithms=(Algorithm.CHANNEL_RECONSTRUCTION,)))
    draft = _draft(_model(_READERS["conv"]), _noise(), _INT4, settings)
    assert [change.step for change in draft.changes] == ["channel-reconstruction"]


def test_the_error_behind_a_linear_bottleneck_falls_on_images(zoo: Path) -> None:
    """ProxylessNAS: the first bottleneck's eight channels make up for each other; most else is left alone."""
    imported = import_model(zoo / "models" / "proxyless_w025_r112_imagenet.onnx", {})
    recipe = Path(__file__).parents[1] / "data" / "recipes" / "proxyless_w025.toml"
    steps = load_recipe(recipe, {"model": Path("net.onnx")}).preprocess
    data = load_dataset(str(zoo / "data" / "imagenet_val_300_227px.parquet"), imported.inputs, steps, ())
    calibration = _calibration([dict(data.sample(index).inputs) for index in range(6)])
    old = _draft(imported.model, calibration, INT8)
    new = reconstruct_channels(old, calibration, _BIASED)
    assert 1 <= len(new.changes) < 6
    maker = next(node for node in old.model.graph if node.name == new.changes[0].where)
    reader = maker.outputs[0].consumers()[0]
    name, value = str(reader.name), str(reader.outputs[0].name)
    error = _error_power(old, {str(maker.name): old.final, name: old.final}, value, calibration)
    assert _error_power(old, {str(maker.name): old.final, name: new.final}, value, calibration) < 0.7 * error
