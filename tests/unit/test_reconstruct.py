"""Rounding and reconstruction on hand-made graphs: descent, blocks, torch against ONNX Runtime, what is left."""

from __future__ import annotations

import builtins
import itertools
import re
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from edgert.dtypes import DType
from edgert.errors import MissingExtraError
from edgert.recipe import Algorithm
from edgert_converters.engine import load_runner
from edgert_converters.quantize.chain import StepRule, plan_draft, prepare
from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.reconstruct import adaround, reconstruct
from edgert_converters.quantize.scheme import INT8, Scheme

torch = pytest.importorskip("torch", reason="reconstruction needs edgert[torch]")

from edgert_converters.quantize.reconstruct import block  # noqa: E402  # imports torch
from edgert_converters.quantize.reconstruct.blocks import cut_blocks  # noqa: E402  # imports torch's tensors
from edgert_converters.quantize.reconstruct.descent import round_rows  # noqa: E402  # imports torch
from edgert_converters.quantize.reconstruct.layers import BlockRunner  # noqa: E402  # imports torch

_INT4 = Scheme(weight_bits=4)
_TEXT = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1,3,12,12] x, float[8,3,3,3] w0, float[8] b0, float[8,1,3,3] w1, float[8] b1, float[8,8,1,1] w2, float[8] b2,
     float[10,8,1,1] w3, float[10] b3) => (float[1,10,6,6] y)
{
    [stem] c0 = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w0, b0)
    [act0] r0 = Relu(c0)
    [depthwise] c1 = Conv<pads=[1,1,1,1], group=8>(r0, w1, b1)
    [act1] r1 = MIDDLE(c1)
    [pointwise] c2 = Conv(r1, w2, b2)
    [add] a = Add(c2, r0)
    [head] y = Conv(a, w3, b3)
}
"""


def _model(middle: str = "Relu") -> ir.Model:
    rng = np.random.default_rng(0)
    model = ir.from_onnx_text(_TEXT.replace("MIDDLE", middle))
    for value in list(model.graph.inputs)[1:]:
        shape = value.shape.numpy() if value.shape is not None else ()
        values = rng.standard_normal(shape) / np.sqrt(float(np.prod(shape[1:])))
        value.const_value = ir.tensor(values.astype(np.float32), name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    for node in model.graph:
        for output in node.outputs:
            output.type = output.type or ir.TensorType(ir.DataType.FLOAT)
    return model


def _samples(count: int, seed: int = 1) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [{"x": (rng.standard_normal((1, 3, 12, 12)) + 0.5).astype(np.float32)} for _ in range(count)]


def _silent(stage: str, done: int, total: int) -> None:
    """Progress nobody reads."""


def _calibration(count: int = 32) -> Calibration:
    samples = _samples(count)
    return Calibration(lambda: samples, count, _silent)


def _draft(model: ir.Model, scheme: Scheme) -> Draft:
    settings = Settings(algorithms=frozenset([Algorithm.BIAS_CORRECTION]))
    return plan_draft(prepare(model, _calibration(), settings), scheme, _calibration(), settings)


def _error(model: ir.Model, draft: Draft) -> float:
    reference, run = load_runner(model), load_runner(apply_plan(model, draft.final, DType.UINT8))
    pairs = [
        (np.asarray(reference(s)["y"], np.float32), np.asarray(run(s)["y"], np.float32)) for s in _samples(64, seed=2)
    ]
    return float(np.mean([np.square(wanted - got).mean() for wanted, got in pairs]))


def test_descent_comes_near_the_best_of_all_roundings() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 50, generator=generator, dtype=torch.float64)
    x[0, 1] += 0.9 * x[0, 0]
    second, rows = x @ x.transpose(1, 2) / 50, torch.rand(1, 6, 4, generator=generator, dtype=torch.float64) * 4 - 2
    scales = torch.full((1, 6, 1), 0.5, dtype=torch.float64)
    got = round_rows(rows, scales, second, 7)

    def cost(integers: Any) -> Any:  # Any: tensors of a package that may be absent
        error = integers * scales - rows
        return (error @ second * error).sum(2)[0]

    nearest = torch.round(rows / scales)
    moves = [torch.tensor(m, dtype=torch.float64) for m in itertools.product((-1, 0, 1), repeat=4)]
    best = torch.stack([cost(nearest + move) for move in moves]).min(0).values
    assert bool((cost(got) <= cost(nearest) + 1e-12).all())
    assert float(cost(got).sum()) <= 1.25 * float(best.sum()), "a coordinate-wise optimum is near the best of 81"
    assert float(cost(got).sum()) < 0.85 * float(cost(nearest).sum())


def test_a_branch_is_never_cut() -> None:
    model = _model()
    blocks = cut_blocks(model, _draft(model, INT8).final)
    assert [part.label for part in blocks] == ["stem", "depthwise ... pointwise", "head"]
    assert blocks[1].inputs == blocks[0].outputs == ("r0",)
    assert [str(node.name) for node in blocks[1].nodes] == ["depthwise", "act1", "pointwise", "add"]


def test_fake_quantization_is_what_the_engine_computes() -> None:
    model = _model()
    draft = _draft(model, INT8)
    plan, sample = draft.final, _samples(1)[0]
    values = {"x": torch.from_numpy(sample["x"])}
    for part in cut_blocks(model, plan):
        runner = BlockRunner(part, plan)
        values = {name: runner.quantizer(name, x) for name, x in values.items()} if "x" in values else values
        values = runner.quantized(values, plan.weights, frozenset(part.outputs))
    engine = load_runner(apply_plan(model, plan, DType.UINT8))(sample)["y"].astype(np.float32)
    step = plan.params["y"].scale[0]
    np.testing.assert_allclose(values["y"].numpy(), engine, atol=1e-4 * step, err_msg="the same steps")


def test_adaround_brings_outputs_nearer_to_float_in_the_engine() -> None:
    model = _model()
    before = _draft(model, _INT4)
    after = adaround(before, _calibration(), Settings())
    assert _error(model, after) < 0.85 * _error(model, before)
    assert [change.where for change in after.changes[-3:]] == ["stem", "depthwise ... pointwise", "head"]
    assert "mean squared error" in after.changes[-1].what
    for name, weights in after.final.weights.items():
        assert int(np.abs(weights.weight).max()) <= 7
        assert weights.weight_params == before.final.weights[name].weight_params
    assert after.final.params == before.final.params


def test_adaround_gives_the_same_twice() -> None:
    draft = _draft(_model(), _INT4)
    first, second = (adaround(draft, _calibration(), Settings()).final.weights for _ in range(2))
    for name, weights in first.items():
        np.testing.assert_array_equal(weights.weight, second[name].weight)


def test_a_block_that_torch_cannot_run_is_left_and_the_others_are_not() -> None:
    model = _model("Softsign")
    before = _draft(model, _INT4)
    after = adaround(before, _calibration(), Settings())
    said = {change.where: change for change in after.changes}
    assert "Softsign cannot be run in torch" in said["depthwise ... pointwise"].why
    assert "mean squared error" in said["head"].what, "the samples come from ONNX Runtime behind it"
    assert after.final.weights["pointwise"] is before.final.weights["pointwise"]
    assert _error(model, after) < _error(model, before)


def test_without_time_the_plan_stays_as_it_was() -> None:
    before = _draft(_model(), INT8)
    after = adaround(before, _calibration(), Settings(time_limit_s=0.0))
    assert after.final.weights == before.final.weights
    assert after.changes[-1].why == "the time limit of 0 s"


def test_reconstruction_keeps_only_what_held_back_samples_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "ITERATIONS", 30)
    before = _draft(_model(), _INT4)
    after = reconstruct(before, _calibration(), Settings())
    assert [change.where for change in after.changes[-3:]] == ["stem", "depthwise ... pointwise", "head"]
    assert {change.step for change in after.changes[-3:]} == {"reconstruction"}
    for change in after.changes[-3:]:
        found = re.search(r"error ([0-9.e-]+) -> ([0-9.e-]+)", f"{change.what} {change.why}")
        assert found is not None
        first, last = float(found[1]), float(found[2])
        assert ("left as it is" in change.what) == (last >= first)
    assert after.final.params == before.final.params


def test_reconstruction_starts_from_the_integers_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "ITERATIONS", 0)
    model = _model()
    before = adaround(_draft(model, _INT4), _calibration(), Settings())
    after = reconstruct(before, _calibration(), Settings())
    for name, weights in after.final.weights.items():
        np.testing.assert_array_equal(weights.weight, before.final.weights[name].weight)
        np.testing.assert_array_equal(weights.bias, before.final.weights[name].bias)


def test_reconstruction_gives_the_same_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "ITERATIONS", 10)
    draft = _draft(_model(), _INT4)
    first, second = (reconstruct(draft, _calibration(), Settings()) for _ in range(2))
    assert first.changes == second.changes, "they hold the errors of what was learned"
    for name, weights in first.final.weights.items():
        np.testing.assert_array_equal(weights.weight, second.final.weights[name].weight)
        np.testing.assert_array_equal(weights.bias, second.final.weights[name].bias)


def test_reconstruction_without_time_leaves_the_plan() -> None:
    before = _draft(_model(), INT8)
    after = reconstruct(before, _calibration(), Settings(time_limit_s=0.0))
    assert after.final.weights == before.final.weights
    assert after.changes[-1].why == "the time limit of 0 s"


@pytest.mark.parametrize("count", [1, 3])
def test_few_samples_are_enough_to_run(count: int) -> None:
    before = _draft(_model(), INT8)
    after = adaround(before, _calibration(count), Settings())
    assert set(after.final.weights) == set(before.final.weights)


@pytest.mark.parametrize("step", [adaround, reconstruct])
def test_no_torch_names_the_extra(step: StepRule, monkeypatch: pytest.MonkeyPatch) -> None:
    draft, original = _draft(_model(), INT8), builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:  # Any: the signature of import
        if name == "torch":
            raise ImportError(name)
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"edgert\[torch\]"):
        step(draft, _calibration(), Settings())
