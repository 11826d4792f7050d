"""The repair loop on small graphs in which one known place ruins int8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from edgert.bundle import Gate
from edgert.dtypes import DType
from edgert.recipe import RangeMethod
from edgert_converters.accuracy import VariantResult
from edgert_converters.agreement import AgreementKind, AgreementValue
from edgert_converters.engine import load_runner
from edgert_converters.gate import GateDecision
from edgert_converters.quantize.chain import plan_draft, prepare
from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.scheme import INT8
from edgert_converters.repair import loop
from edgert_converters.repair.cost import Cost, WorkCost
from edgert_converters.repair.loop import Situation, repair
from edgert_converters.repair.sensitivity import measure_noise, measure_sensitivity
from edgert_converters.repair.sources import SourceKind, isolate, list_sources
from edgert_converters.repair.windows import WindowSearch, keep_float

Arrays = Mapping[str, np.ndarray]

_TEXT = """
<ir_version: 8, opset_import: ["" : 18]>
net (float[1,4,8,8] x, float[8,4,1,1] w1, float[8] b1, float[8,8,3,3] w2, float[8] b2, float[6,8,1,1] w3, float[6] b3)
    => (float[1,6,8,8] y)
{
    [first] a = Conv(x, w1, b1)
    [relu] r = Relu(a)
    [second] c = Conv<pads=[1,1,1,1]>(r, w2, b2)
    [relu2] s = Relu(c)
    [third] y = Conv(s, w3, b3)
}
"""
_SETTINGS = Settings(RangeRule(RangeMethod.MIN_MAX))


def _model(spoilt: bool) -> ir.Model:
    """Three convolutions; spoilt: one channel between the first two is 500 times larger and read so much less."""
    rng = np.random.default_rng(3)
    model = ir.from_onnx_text(_TEXT)
    for value in list(model.graph.inputs)[1:]:
        shape = tuple(int(size) for size in value.shape or ())
        array = (rng.standard_normal(shape) / np.sqrt(max(1, int(np.prod(shape[1:]))))).astype(np.float32)
        if spoilt and value.name in {"w1", "b1"}:
            array[0] *= 500
        if spoilt and value.name == "w2":
            array[:, 0] /= 500
        value.const_value = ir.tensor(array, name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    for node in model.graph:
        for output in node.outputs:
            output.type = output.type or ir.TensorType(ir.DataType.FLOAT)
    return model


def spoilt_model() -> ir.Model:
    """The network x: float[1, 4, 8, 8] -> y: float[1, 6, 8, 8] that no int8 can hold whole."""
    return _model(spoilt=True)


def _feeds(count: int = 8) -> list[Arrays]:
    rng = np.random.default_rng(4)
    return [{"x": rng.standard_normal((1, 4, 8, 8)).astype(np.float32)} for _ in range(count)]


def _calibration() -> Calibration:
    feeds = _feeds()
    return Calibration(lambda: feeds, len(feeds), lambda *_: None)


def _draft(model: ir.Model) -> Draft:
    return plan_draft(prepare(model, _calibration(), _SETTINGS), INT8, _calibration(), _SETTINGS)


def _expected(model: ir.Model) -> list[Arrays]:
    run = load_runner(model)
    return [run(feed) for feed in _feeds()]


def test_sources_are_weights_and_activations_without_what_only_moves() -> None:
    model = _model(spoilt=False)
    found = [(source.kind, source.name) for source in list_sources(model, _draft(model).final)]
    weights, activation = SourceKind.WEIGHTS, SourceKind.ACTIVATION
    assert found == [
        *((activation, "x"), (weights, "first"), (activation, "r"), (weights, "second"), (activation, "s")),
        *((weights, "third"), (activation, "y")),
    ]


def test_noise_of_the_sources_adds_up_to_that_of_the_quantized_graph() -> None:
    model = _model(spoilt=False)
    draft = _draft(model)
    rows = measure_sensitivity(model, draft.final, _feeds(), lambda *_: None)
    total = sum(row.noise for row in rows if row.group is None)
    together = measure_noise(apply_plan(model, draft.final, DType.UINT8), _feeds(), _expected(model))
    assert 0.7 < total / together < 1.4


def test_the_table_names_the_spoilt_activation_and_its_channels() -> None:
    model = _model(spoilt=True)
    rows = measure_sensitivity(model, _draft(model).final, _feeds(), lambda *_: None)
    worst = max((row for row in rows if row.group is None), key=lambda row: row.noise)
    assert (worst.source.kind, worst.source.name, worst.source.layer) == (SourceKind.ACTIVATION, "r", "relu")
    groups = {row.group: row.noise for row in rows if row.source == worst.source and row.group is not None}
    assert groups.pop((0, 1)) < 0.1 * worst.noise, "the large channel loses little"
    assert sum(groups.values()) > 0.8 * worst.noise, "the small ones do"


def test_one_channel_group_of_the_weights_can_be_rounded_alone() -> None:
    model = _model(spoilt=False)
    plan = _draft(model).final
    source = next(source for source in list_sources(model, plan) if source.name == "second")
    every = np.ones(8, np.bool_)
    noise = [
        measure_noise(isolate(model, plan, source, (0, mask)), _feeds(), _expected(model)) for mask in (every, ~every)
    ]
    assert noise[0] > 0
    assert noise[1] == 0


def test_putting_a_layer_back_to_float_keeps_every_other_integer() -> None:
    model = _model(spoilt=False)
    draft = _draft(model)
    kept = keep_float(draft, {"second", "relu2"}).final
    assert kept.integer_nodes == {"first", "relu", "third"}
    assert kept.weights["first"] is draft.final.weights["first"]
    assert all(kept.params[name] is draft.final.params[name] for name in ("x", "r", "s", "y"))
    assert {layer.name for layer in kept.float_layers} == {"second", "relu2"}
    assert "second" not in kept.weights


def test_the_best_run_holds_both_ends_of_the_spoilt_activation() -> None:
    model = _model(spoilt=True)
    draft = _draft(model)
    rows = measure_sensitivity(model, draft.final, _feeds(), lambda *_: None)
    window = WindowSearch(draft, rows, {}).best(frozenset(), set())
    assert window is not None
    assert {"first", "second"} <= set(window.nodes)


def _decision(gate: Gate, drop: float) -> GateDecision:
    return GateDecision(gate, drop, (0.0, drop), 0.0, drop, 8, None, "a sentence")


class _Judge:
    """Passes a graph whose outputs lie close enough to the float model's; counts how often it was asked."""

    def __init__(self, model: ir.Model, least_db: float, otherwise: Gate = Gate.FAILED) -> None:
        self._expected = _expected(model)
        self._least_noise = 10 ** (-least_db / 10)
        self._otherwise = otherwise
        self.asked = 0

    def __call__(self, candidate: ir.Model) -> VariantResult:
        self.asked += 1
        noise = measure_noise(candidate, _feeds(), self._expected)
        passed = noise <= self._least_noise
        decision = _decision(Gate.PASSED, 0.0) if passed else _decision(self._otherwise, 1.5)
        return VariantResult("auto", None, AgreementValue(AgreementKind.TOP1, 0.9, (0.8, 1.0), 8, 8), decision, ())


def _situation(model: ir.Model, judge: _Judge, **changes: object) -> Situation:
    at = Situation(model, _calibration(), _SETTINGS, _feeds(), judge, WorkCost(model), DType.UINT8, 1.0)
    return replace(at, **changes)  # type: ignore[arg-type]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the algorithms that would repair the spoilt channel at no cost."""
    monkeypatch.setattr(loop, "CHAIN", ())


def test_a_graph_that_passes_at_once_is_left_as_it_is() -> None:
    model = _model(spoilt=False)
    judge = _Judge(model, 20.0)
    done = repair(_situation(model, judge))
    assert done.passed
    assert done.ships
    assert judge.asked == 1
    assert [step.step for step in done.steps] == ["plain int8"]
    assert done.steps[0].cost is not None
    assert done.steps[0].cost.ratio == pytest.approx(0.25, abs=0.01)
    assert done.steps[0].cost.unit == "MACs x bytes"


@pytest.mark.usefixtures("bare")
def test_the_spoilt_layers_go_to_float_and_the_rest_stays_integer() -> None:
    model = _model(spoilt=True)
    judge = _Judge(model, 30.0)
    done = repair(_situation(model, judge))
    assert done.passed
    kept = [step for step in done.steps if step.step == "keep float" and step.kept]
    assert kept[0].where == "first to relu2"
    assert done.draft.final.integer_nodes == {"third"}
    assert done.stopped.startswith("the gate is content (the samples that decide were asked ")
    assert judge.asked == sum(1 for step in done.steps if step.gate)
    assert done.sensitivity, "the table says why"


@pytest.mark.usefixtures("bare")
def test_no_layer_goes_to_float_where_a_target_has_no_floating_point() -> None:
    model = _model(spoilt=True)
    done = repair(_situation(model, _Judge(model, 30.0), runs_float=False))
    assert not done.passed
    assert "satisfies the gate; no layer was kept float, because a target has no FPU (the" in done.stopped
    (step,) = (step for step in done.steps if step.step == "keep float")
    assert (step.kept, step.where, step.why) == (False, "whole model", "not tried: a target has no FPU")
    assert {"first", "third"} <= set(done.draft.final.integer_nodes)


@pytest.mark.usefixtures("bare")
def test_when_nothing_suffices_the_best_found_comes_back() -> None:
    model = _model(spoilt=True)
    done = repair(_situation(model, _Judge(model, 1000.0)))
    assert not done.passed
    assert done.stopped.startswith("nothing that was tried satisfies the gate")


def test_undecided_is_enough_when_the_drop_seen_is_allowed_unless_strict() -> None:
    model = _model(spoilt=False)
    loose = repair(_situation(model, _Judge(model, 1000.0, Gate.UNDECIDED), max_drop_points=2.0))
    assert (loose.passed, len(loose.steps)) == (True, 1)
    strict = repair(_situation(model, _Judge(model, 1000.0, Gate.UNDECIDED), max_drop_points=2.0, strict=True))
    assert not strict.passed
    assert len(strict.steps) > 1


def test_what_is_slower_than_float_is_not_shipped() -> None:
    model = _model(spoilt=False)

    def meter(candidate: ir.Model) -> Cost:
        del candidate
        return Cost(3.0, "ms in onnxruntime here", 1.5, is_slower=True)

    done = repair(_situation(model, _Judge(model, 20.0), meter=meter))
    assert done.passed
    assert not done.ships
    assert "1.50x the time of float on the target, so float is shipped" in done.stopped


def test_the_rows_of_the_report_have_their_keys() -> None:
    model = _model(spoilt=True)
    document = repair(_situation(model, _Judge(model, 1000.0))).to_json()
    steps = document["repair"]["steps"]
    assert {"step", "where", "agree", "sqnr_db", "cost", "cost_unit", "kept", "why"} <= set(steps[0])
    assert {"layer", "op", "group", "sqnr_db"} <= set(document["sensitivity"][0])
    assert any(row["group"] == "channels 0 to 0" for row in document["sensitivity"])
