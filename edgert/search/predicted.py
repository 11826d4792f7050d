"""Candidates by what is known of them: what was measured exactly, else what predictors expect.

An exact point always wins. An estimate says so in its facts and never becomes a measurement: it has no identity under
which a study could keep it, so a study that is given this evaluator is refused before its first trial. What a search
over estimates proposes goes to a study over the exact evaluator, which measures every point of its front.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgert.cost.prediction import Prediction
from edgert.errors import UsageError
from edgert.search.evaluator import Evaluation
from edgert.search.goals import Goals, Quantity
from edgert.search.space import Choice, choice_key
from edgert.search.storage import Storage
from edgert.search.study import Book

__all__ = ["ESTIMATED", "PredictedEvaluator", "Predictor", "is_estimated", "measured_points"]

ESTIMATED = "estimated"


class Predictor(Protocol):
    """Predicts one quantity of candidates that nobody measured."""

    def __call__(self, choices: Sequence[Choice]) -> Prediction:
        """Returns a value and an interval for each choice, in the quantity's own unit."""
        ...


@dataclass(frozen=True)
class PredictedEvaluator:
    """Evaluates choices without measuring anything.

    Attributes:
        predictors: one for each quantity of the goals.
        points: exact evaluations that are finished, by `choice_key`; see `measured_points`.
    """

    predictors: Mapping[Quantity, Predictor]
    points: Mapping[str, Evaluation] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Estimates have none: they change with every measurement, and a study keeps measurements alone.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "predictions are no measurements, and a study measures: give it the exact evaluator as "
            "Problem(space, evaluator), and search over the predictions before"
        )

    def evaluate(self, choice: Choice, *, seed: int) -> Evaluation:
        """Returns the exact point where there is one, failed ones included; else an estimate. The seed changes nothing.

        The facts of an estimate are `source` `estimated` and, for each quantity, `interval` with low, high (null:
        nothing bounds it) and level.
        """
        exact = self.points.get(choice_key(choice))
        if exact is not None:
            return exact
        found = {quantity: predict([choice]) for quantity, predict in self.predictors.items()}
        intervals = {
            quantity.value: {"low": float(item.low[0]), "high": _finite(float(item.high[0])), "level": item.level}
            for quantity, item in found.items()
        }
        measured = {quantity: float(item.value[0]) for quantity, item in found.items()}
        return Evaluation(measured, facts={"source": ESTIMATED, "interval": intervals})


def is_estimated(evaluation: Evaluation) -> bool:
    """Whether an evaluation is of predictors, and nobody measured it."""
    return evaluation.facts.get("source") == ESTIMATED


def measured_points(storage: Storage, identity: str, goals: Goals) -> dict[str, Evaluation]:
    """Returns what the studies of a storage measured with the exact evaluator of an identity, by `choice_key`.

    A point that lacks a quantity of the goals, or was written down as an estimate, is left out: it says nothing exact.
    """
    known = Book(storage, "", goals, {}).known([identity])
    return {
        key: evaluation
        for key, (evaluation, _) in known.items()
        if not is_estimated(evaluation)
        and (evaluation.failure or all(quantity in evaluation.measured for quantity in goals.quantities))
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
