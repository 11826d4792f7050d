"""How a study stands: the front among all points that keep the limits, and what measuring it again did to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgert.search.evaluator import Evaluation
from edgert.search.front import nondominated
from edgert.search.goals import Goals, Measured
from edgert.search.space import Choice, choice_key
from edgert.search.study import Entry

__all__ = ["Dropped", "Point", "Standing", "choose", "standing_of"]


@dataclass(frozen=True, slots=True)
class Point:
    """A candidate that works.

    Attributes:
        number: of the trial.
        choice: what it is.
        first: what was measured in the search.
        again: what was measured when the search was over; None before.
        predicted: what was expected before the first measurement, by quantity; None where nothing was.
        facts: of the latest measurement.
    """

    number: int
    choice: Choice
    first: Measured
    again: Measured | None
    predicted: Mapping[str, float] | None
    facts: Mapping[str, object]

    @property
    def measured(self) -> Measured:
        """The latest measurement, which is what counts."""
        return self.first if self.again is None else self.again


@dataclass(frozen=True, slots=True)
class Dropped:
    """A point that was on the front until it was measured again."""

    number: int
    choice: Choice
    first: Measured
    again: Measured
    reason: str


@dataclass(frozen=True, slots=True)
class Standing:
    """All trials, and what follows from them.

    Attributes:
        goals: what the search is for.
        entries: every trial, in the order of numbers.
        points: the candidates that work, each once.
        front: those of them that keep every limit and that none other beats in everything, best first by the first
            objective.
        dropped: what left the front when it was measured again.
    """

    goals: Goals
    entries: tuple[Entry, ...]
    points: tuple[Point, ...]
    front: tuple[Point, ...]
    dropped: tuple[Dropped, ...]

    @property
    def finished(self) -> list[Entry]:
        """Trials that are over."""
        return [entry for entry in self.entries if entry.is_finished]

    @property
    def failed(self) -> list[Entry]:
        """Trials of candidates that do not work."""
        return [entry for entry in self.finished if entry.evaluation is None or entry.evaluation.failure]

    @property
    def beyond_limits(self) -> list[Point]:
        """Candidates that work, and break a limit."""
        return [point for point in self.points if not _keeps_limits(self.goals, point.measured)]


def standing_of(goals: Goals, entries: Sequence[Entry], again: Sequence[Entry]) -> Standing:
    """Returns how a study stands from its trials and those that measured its front once more."""
    repeated = {entry.first: entry.evaluation for entry in again if entry.is_finished and entry.evaluation is not None}
    points = _points(entries, repeated)
    front = _front(goals, [point for point in points if not _failure_again(point, repeated)])
    numbers = {point.number for point in front}
    dropped = [
        Dropped(
            point.number, point.choice, point.first, repeated[point.number].measured, _reason(goals, point, repeated)
        )
        for point in points
        if point.number in repeated and point.number not in numbers
    ]
    return Standing(goals, tuple(entries), tuple(points), tuple(front), tuple(dropped))


def choose(goals: Goals, front: Sequence[Point], rule: str, knee: str) -> Point | None:
    """Returns the point of a front that the rule takes; None of an empty one.

    The knee is the point nearest to the best of every objective, each counted from 0 at the front's best to 1 at its
    worst; with one objective that is the best point. Ties go to the earlier trial.
    """
    if not front:
        return None
    values = np.array([goals.minimized(point.measured) for point in front], np.float64)
    if rule != knee:
        column = [item.value for item in goals.objectives].index(rule)
        order = [column, *(other for other in range(values.shape[1]) if other != column)]
        return min(zip(front, values, strict=True), key=lambda pair: (*pair[1][order], pair[0].number))[0]
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    distances = np.linalg.norm((values - low) / np.where(span > 0, span, 1), axis=1)
    return min(zip(front, distances, strict=True), key=lambda pair: (round(pair[1], 12), pair[0].number))[0]


def _points(entries: Sequence[Entry], repeated: Mapping[int | None, Evaluation]) -> list[Point]:
    points: dict[str, Point] = {}
    for entry in entries:
        evaluation = entry.evaluation
        if not entry.is_finished or evaluation is None or evaluation.failure:
            continue
        again = repeated.get(entry.number)
        latest = evaluation if again is None or again.failure else again
        point = Point(
            entry.number,
            entry.choice,
            evaluation.measured,
            None if again is None or again.failure else again.measured,
            entry.predicted,
            latest.facts,
        )
        points.setdefault(choice_key(entry.choice), point)
    return list(points.values())


def _front(goals: Goals, points: Sequence[Point]) -> list[Point]:
    kept = [point for point in points if _keeps_limits(goals, point.measured)]
    if not kept:
        return []
    mask = nondominated(np.array([goals.minimized(point.measured) for point in kept], np.float64))
    front = [point for point, is_best in zip(kept, mask, strict=True) if is_best]
    return sorted(front, key=lambda point: (goals.minimized(point.measured), point.number))


def _failure_again(point: Point, repeated: Mapping[int | None, Evaluation]) -> str:
    evaluation = repeated.get(point.number)
    return "" if evaluation is None else evaluation.failure


def _keeps_limits(goals: Goals, measured: Measured) -> bool:
    return all(excess <= 0 for excess in goals.excesses(measured))


def _reason(goals: Goals, point: Point, repeated: Mapping[int | None, Evaluation]) -> str:
    failure = _failure_again(point, repeated)
    if failure:
        return f"failed when measured again: {failure}"
    for limit in goals.limits:
        if limit.excess(point.measured) > 0:
            return f"{limit.quantity.value} was {point.measured[limit.quantity]:g} when measured again, beyond {limit}"
    return "another point is better in everything, now that it was measured again"
