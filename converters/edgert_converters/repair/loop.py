"""The repair loop: better ranges, float repairs, reconstruction, then float layers, until the gate is content.

Choices are made on calibration data (SQNR of the outputs against the float model). The samples that decide are asked
only whether it is enough, and the report says how often.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from edgert.bundle import Gate
from edgert.dtypes import DType
from edgert.errors import MissingExtraError
from edgert.recipe import Algorithm, RangeMethod
from edgert_converters.accuracy import VariantResult
from edgert_converters.engine import load_runner
from edgert_converters.layers import static_shapes
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.chain import CHAIN, plan_draft, prepare, refine
from edgert_converters.quantize.draft import Calibration, Draft, Settings
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.scheme import INT8
from edgert_converters.quantize.weighted import weighted_nodes
from edgert_converters.repair.cost import Cost, CostMeter
from edgert_converters.repair.sensitivity import Sensitivity, measure_noise, measure_sensitivity
from edgert_converters.repair.steps import Repair, RepairStep
from edgert_converters.repair.windows import WindowSearch, keep_float
from edgert_converters.sqnr import sqnr_db

__all__ = ["Situation", "repair"]

_LEAST_GAIN_DB = 0.3
"""Smaller gains of SQNR are within what another draw of calibration samples changes."""
_SHARE_OF_TIME = 0.1
"""Of the time limit, for reconstruction done again for a set of float layers: there are up to a dozen of them."""
_LEAST_WINDOW_DB = 0.1
_LOOK_GAIN_DB = 1.0
"""The gate is asked again when the outputs have gained this much since it was asked last."""
_RECONSTRUCTION = (Algorithm.ADAROUND, Algorithm.RECONSTRUCTION)


@dataclass(frozen=True, slots=True)
class Situation:
    """What the loop works on.

    `model` is the clean float graph, `feeds` a few calibration inputs; `judge` runs a graph on the samples that decide;
    `max_drop_points` and `strict` say when the gate is content; `encoding` is the target's. `runs_float` is False where
    a target has no floating point in hardware: no layer is given back to float then.
    """

    model: ir.Model
    calibration: Calibration
    settings: Settings
    feeds: Sequence[Mapping[str, Array]]
    judge: Callable[[ir.Model], VariantResult]
    meter: CostMeter
    encoding: DType
    max_drop_points: float
    strict: bool = False
    runs_float: bool = True


@dataclass(frozen=True, slots=True)
class _Trial:
    """A candidate: how it is made, and its noise-to-signal ratio on calibration data."""

    settings: Settings
    prepared: Draft
    draft: Draft
    noise: float

    @property
    def sqnr_db(self) -> float:
        return sqnr_db(1.0, self.noise)


@dataclass(slots=True)
class _Log:
    """The rows so far, and the last answer of the gate."""

    steps: list[RepairStep] = field(default_factory=list)
    looks: int = 0
    asked_db: float = -1000.0
    passed: bool = False
    cost: Cost | None = None

    def add(self, step: RepairStep) -> None:
        self.steps.append(step)


def repair(situation: Situation) -> Repair:
    """Returns the best draft found within the gate, cheapest kinds of repair first.

    Raises:
        DataError: the calibration data does not fit.
    """
    loop = _Loop(situation)
    return loop.run()


class _Loop:
    def __init__(self, situation: Situation) -> None:
        self._at = situation
        run = load_runner(situation.model)
        self._expected = [run(feed) for feed in situation.feeds]
        self._log = _Log()
        self._sensitivity: tuple[Sensitivity, ...] = ()

    def run(self) -> Repair:
        prepared = prepare(self._at.model, self._at.calibration, self._at.settings)
        best = self._try(self._at.settings, prepared)
        self._look(best, "plain int8", "whole model", "where everything starts from")
        for phase in (self._better_ranges, self._better_algorithms, self._reconstruct):
            if not self._log.passed:
                best = phase(best)
        if not self._log.passed and self._at.runs_float:
            best = self._float_layers(best)
        elif not self._log.passed:
            self._log.add(RepairStep("keep float", "whole model", "not tried: a target has no FPU", False))
        return self._finish(best)

    def _try(self, settings: Settings, prepared: Draft) -> _Trial:
        draft = plan_draft(prepared, INT8, self._at.calibration, settings)
        return _Trial(settings, prepared, draft, self._noise(draft))

    def _noise(self, draft: Draft) -> float:
        return measure_noise(apply_plan(draft.model, draft.final, self._at.encoding), self._at.feeds, self._expected)

    def _better_ranges(self, best: _Trial) -> _Trial:
        """All methods on the same statistics; one row for the best of them."""
        trials = {}
        for method in RangeMethod:
            if method is not best.settings.ranges.method:
                settings = replace(best.settings, ranges=replace(best.settings.ranges, method=method))
                trials[method] = self._try(settings, best.prepared)
        method, trial = min(trials.items(), key=lambda item: item[1].noise)
        return self._decide(best, trial, f"ranges {method.value}", "every activation")

    def _better_algorithms(self, best: _Trial) -> _Trial:
        for algorithm in self._unused(best):
            if algorithm in _RECONSTRUCTION or self._log.passed:
                continue
            best = self._decide(best, *self._switch_on(best, algorithm))
        return best

    def _reconstruct(self, best: _Trial) -> _Trial:
        for algorithm in self._unused(best):
            if algorithm not in _RECONSTRUCTION or self._log.passed:
                continue
            try:
                trial, name, where = self._switch_on(best, algorithm)
            except MissingExtraError as error:
                self._log.add(RepairStep(algorithm.value, "every block", str(error), kept=False))
                continue
            best = self._decide(best, trial, name, where)
        return best

    def _unused(self, best: _Trial) -> list[Algorithm]:
        return [step.algorithm for step in CHAIN if step.algorithm not in best.settings.algorithms]

    def _switch_on(self, best: _Trial, algorithm: Algorithm) -> tuple[_Trial, str, str]:
        settings = replace(best.settings, algorithms=best.settings.algorithms | {algorithm})
        trial = self._try(settings, prepare(self._at.model, self._at.calibration, settings))
        return trial, algorithm.value, "wherever it helps"

    def _decide(self, best: _Trial, trial: _Trial, name: str, where: str) -> _Trial:
        gain = trial.sqnr_db - best.sqnr_db
        if gain < _LEAST_GAIN_DB:
            why = f"gains {gain:+.1f} dB, less than {_LEAST_GAIN_DB:g}"
            self._log.add(RepairStep(name, where, why, kept=False, sqnr_db=trial.sqnr_db))
            return best
        self._look(trial, name, where, f"gains {gain:+.1f} dB at no cost on the target")
        return trial

    def _look(self, trial: _Trial, name: str, where: str, why: str) -> None:
        """Adds a row for a kept trial; asks the gate where enough was gained since it was asked last."""
        if trial.sqnr_db < self._log.asked_db + _LOOK_GAIN_DB:
            self._log.add(RepairStep(name, where, why, kept=True, sqnr_db=trial.sqnr_db))
        else:
            self._ask(trial, name, where, why)

    def _ask(self, trial: _Trial, name: str, where: str, why: str) -> None:
        graph = apply_plan(trial.draft.model, trial.draft.final, self._at.encoding)
        result = self._at.judge(graph)
        cost = self._at.meter(graph)
        self._log.looks, self._log.asked_db, self._log.cost = self._log.looks + 1, trial.sqnr_db, cost
        self._log.passed = self._is_enough(result)
        agree = None if result.agreement is None else result.agreement.value
        sentence = f"{result.decision.gate.value}: {result.decision.sentence}"
        self._log.add(RepairStep(name, where, why, True, trial.sqnr_db, agree, cost, sentence))

    def _is_enough(self, result: VariantResult) -> bool:
        """Passed; or undecided with a drop seen that is allowed, where more samples and no repair would decide."""
        decision = result.decision
        within = decision.gate is Gate.UNDECIDED and decision.drop_points <= self._at.max_drop_points
        return decision.gate is Gate.PASSED or (within and not self._at.strict)

    def _float_layers(self, best: _Trial) -> _Trial:
        """Gives run after run of layers back to float, the most noise per added work first.

        Reconstruction makes the error of one layer take back that of others, so it is done again for each set of
        float layers, after they were chosen from noise that adds up.
        """
        late = best.settings.algorithms & set(_RECONSTRUCTION)
        base = best
        if late:
            base = self._try(replace(best.settings, algorithms=best.settings.algorithms - late), best.prepared)
        search = self._search(base)
        kept: frozenset[str] = frozenset()
        refused: set[tuple[str, ...]] = set()
        current, asked_db = base, base.sqnr_db
        while not self._log.passed and (window := search.best(kept, refused)) is not None:
            trial = self._restricted(base, kept | set(window.nodes))
            if not any(True for _ in weighted_nodes(trial.draft.model, trial.draft.final.integer_nodes)):
                break  # nothing that computes would be left in integers
            gain = trial.sqnr_db - current.sqnr_db
            where = window.nodes[0] if len(window.nodes) == 1 else f"{window.nodes[0]} to {window.nodes[-1]}"
            if gain < _LEAST_WINDOW_DB:
                refused.add(window.nodes)
                why = f"gains {gain:+.2f} dB, less than {_LEAST_WINDOW_DB:g}"
                self._log.add(RepairStep("keep float", where, why, False, trial.sqnr_db))
                continue
            kept, current = kept | set(window.nodes), trial
            why = f"gains {gain:+.1f} dB, the most for the work it adds"
            if trial.sqnr_db < asked_db + _LOOK_GAIN_DB:
                self._log.add(RepairStep("keep float", where, why, True, trial.sqnr_db))
                continue
            best, asked_db = self._refined(trial, late), trial.sqnr_db
            self._ask(best, "keep float", where, why)
        if not self._log.passed and current.sqnr_db > asked_db:
            best = self._refined(current, late)
            self._ask(best, "keep float", "all of these", "nothing is left that gains more")
        return best

    def _search(self, base: _Trial) -> WindowSearch:
        model, plan = base.draft.model, base.draft.final
        self._sensitivity = measure_sensitivity(model, plan, self._at.feeds, self._at.calibration.progress)
        elements = {name: math.prod(shape) for name, shape in static_shapes(model).items()}
        return WindowSearch(base.draft, self._sensitivity, elements)

    def _restricted(self, base: _Trial, kept: Set[str]) -> _Trial:
        draft = keep_float(base.draft, kept)
        return _Trial(base.settings, base.prepared, draft, self._noise(draft))

    def _refined(self, trial: _Trial, late: Set[Algorithm]) -> _Trial:
        """The trial after the steps that were taken out of it for the search, in a share of the time they may take."""
        if not late:
            return trial
        limit_s = trial.settings.time_limit_s * _SHARE_OF_TIME
        settings = replace(trial.settings, algorithms=frozenset(late), time_limit_s=limit_s)
        draft = refine(trial.draft, self._at.calibration, settings)
        return _Trial(trial.settings, trial.prepared, draft, self._noise(draft))

    def _finish(self, best: _Trial) -> Repair:
        log = self._log
        if log.cost is None:
            raise AssertionError("the first trial is always looked at")
        ships = not log.cost.is_slower
        verdict = "the gate is content" if log.passed else "nothing that was tried satisfies the gate"
        if not log.passed and not self._at.runs_float:
            verdict += "; no layer was kept float, because a target has no FPU"
        if log.cost.is_slower:
            verdict += f"; but it takes {log.cost.ratio:.2f}x the time of float on the target, so float is shipped"
        stopped = f"{verdict} (the samples that decide were asked {log.looks} times)"
        return Repair(best.draft, tuple(log.steps), self._sensitivity, stopped, log.passed, ships)
