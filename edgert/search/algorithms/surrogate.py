"""What a search has measured, as numbers that can be learned from, and what the predictors make of candidates.

Scales are unknown: an objective that is positive in every trial is learned in the logarithm, and values far on the bad
side of the median are drawn in, for how bad a bad candidate is need not be known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.search.algorithm import Trial
from edgert.search.algorithms.improvement import expected_improvement, share_below
from edgert.search.front import front_ranks, nondominated
from edgert.search.predictors import Kernel, condition, fit_kernel

__all__ = ["MOST_FITTED", "MOST_KNOWN", "Beliefs", "Kernels", "Lesson", "believe", "best_first", "fit_kernels", "learn"]

Floats = NDArray[np.float64]

MOST_FITTED, MOST_KNOWN = 150, 400
"""More trials are not fitted, or learned from, at once: a Gaussian process costs the cube of their number."""

_MOST_FRONT = 24  # points of a front of three objectives or more: the gain costs the square of it, or more
_DRAWN_IN = 3.0
_MARGIN = 0.1
_LEAST_SHARE = 0.01


@dataclass(frozen=True, eq=False)
class Lesson:
    """Trials as numbers.

    Attributes:
        objectives: float64[worked, objectives], less is better.
        excesses: float64[worked, limits], above 0 where one is broken.
        worked: float64[trials], 1 or 0.
        is_feasible: bool[worked].
        is_log: for each objective, whether `objectives` are logarithms.
    """

    objectives: Floats
    excesses: Floats
    worked: Floats
    is_feasible: NDArray[np.bool_]
    is_log: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class Kernels:
    """One for each objective and each limit, and one for whether a candidate works where some did not."""

    objectives: tuple[Kernel, ...]
    limits: tuple[Kernel, ...]
    works: Kernel | None


@dataclass(frozen=True, eq=False)
class Beliefs:
    """What is believed of candidates, and what each promises."""

    means: Floats
    deviations: Floats
    gains: Floats


def best_first(trials: Sequence[Trial], most: int) -> list[Trial]:
    """Returns at most so many trials, in the order of their numbers: those nearest to the front.

    One that failed counts as being in the middle. At least one worked.
    """
    if len(trials) <= most:
        return list(trials)
    objectives = np.array([trial.minimized for trial in trials if trial.minimized is not None], np.float64)
    found = front_ranks(objectives)
    ranks, failed_rank = iter(found.tolist()), float(np.median(found)) + 0.5
    ranked = [(failed_rank if trial.minimized is None else next(ranks), -trial.number, trial) for trial in trials]
    kept = sorted(ranked, key=lambda item: item[:2])[:most]
    return sorted((trial for _, _, trial in kept), key=lambda trial: trial.number)


def learn(trials: Sequence[Trial]) -> Lesson:
    """Returns trials as numbers; at least one of them worked."""
    worked = [trial for trial in trials if trial.minimized is not None]
    raw = np.array([trial.minimized for trial in worked], np.float64)
    is_log = tuple(bool((column > 0).all()) for column in raw.T)
    columns = [np.log(raw[:, index]) if log else raw[:, index] for index, log in enumerate(is_log)]
    excesses = np.array([trial.excesses or () for trial in worked], np.float64).reshape(len(worked), -1)
    finite = np.where(np.isfinite(excesses), excesses, 1.0 + np.max(excesses, initial=0, where=np.isfinite(excesses)))
    return Lesson(
        np.stack([_drawn_in(column) for column in columns], axis=1),
        np.stack([_drawn_in(column) for column in finite.T], axis=1) if finite.size else finite,
        np.array([trial.minimized is not None for trial in trials], np.float64),
        np.array([trial.is_feasible for trial in worked], bool),
        is_log,
    )


def fit_kernels(lesson: Lesson, features: Floats) -> Kernels:
    """Fits the kernels; features of all trials, float64[trials, features]."""
    works = lesson.worked > 0
    known = features[works]
    return Kernels(
        tuple(fit_kernel(known, column) for column in lesson.objectives.T),
        tuple(fit_kernel(known, column) for column in lesson.excesses.T),
        None if works.all() else fit_kernel(features, lesson.worked),
    )


def believe(
    kernels: Kernels, lesson: Lesson, features: Floats, running: Floats, candidates: Floats, reference: Floats | None
) -> tuple[Beliefs, Floats]:
    """Returns what is believed of candidates, and the reference point that their gains are counted from.

    What runs now is taken to turn out as predicted, so that no second candidate is asked for the same gain.

    Args:
        kernels: of `fit_kernels`.
        lesson: of `learn`.
        features: of all trials, float64[trials, features].
        running: of what is being measured, float64[running, features].
        candidates: float64[candidates, features].
        reference: point of an earlier call; None: the worst of the front as it is predicted now, a tenth further out.
    """
    known = features[lesson.worked > 0]
    asked = np.concatenate([candidates, running])
    posteriors = [
        condition(kernel, known, column) for kernel, column in zip(kernels.objectives, lesson.objectives.T, strict=True)
    ]
    if len(running):
        expected = [posterior.predict(running)[0] for posterior in posteriors]
        known_now = np.concatenate([known, running])
        posteriors = [
            condition(kernel, known_now, np.concatenate([column, values]))
            for kernel, column, values in zip(kernels.objectives, lesson.objectives.T, expected, strict=True)
        ]
    predicted = [posterior.predict(asked) for posterior in posteriors]
    means = np.stack([mean for mean, _ in predicted], axis=1)
    deviations = np.stack([deviation for _, deviation in predicted], axis=1)
    shares = _share_that_counts(kernels, lesson, features, asked)
    front = np.concatenate([lesson.objectives[lesson.is_feasible], means[len(candidates) :]])
    if reference is None:
        reference = _reference(lesson.objectives[lesson.is_feasible], means[shares >= 0.5])
    gains = shares
    if lesson.is_feasible.any():
        gains = shares * expected_improvement(_thinned(front), reference, means, deviations)
    count = len(candidates)
    return Beliefs(means[:count], deviations[:count], gains[:count]), reference


def _reference(measured: Floats, predicted: Floats) -> Floats:
    together = np.concatenate([measured, predicted])
    if not len(together):
        return np.zeros(together.shape[1])
    front = together[nondominated(together)]
    worst: Floats = front.max(axis=0) + _MARGIN * np.ptp(front, axis=0)
    return worst


def _share_that_counts(kernels: Kernels, lesson: Lesson, features: Floats, asked: Floats) -> Floats:
    """How likely each candidate works and keeps every limit."""
    shares = np.ones(len(asked))
    known = features[lesson.worked > 0]
    for kernel, column in zip(kernels.limits, lesson.excesses.T, strict=True):
        mean, deviation = condition(kernel, known, column).predict(asked)
        shares *= np.maximum(share_below(-mean / deviation), 1e-12)
    if kernels.works is not None:
        shares *= np.clip(condition(kernels.works, features, lesson.worked).predict(asked)[0], _LEAST_SHARE, 1)
    return shares


def _thinned(front: Floats) -> Floats:
    front = front[nondominated(front)]
    if front.shape[1] < 3 or len(front) <= _MOST_FRONT:
        return front
    ordered = front[np.lexsort(front.T[::-1])]
    rows = np.linspace(0, len(ordered) - 1, _MOST_FRONT).round().astype(int)
    found: Floats = ordered[rows]
    return found


def _drawn_in(values: Floats) -> Floats:
    """Values further above the median than three times the distance of the lower quartile grow by their logarithm."""
    low, middle = np.quantile(values, [0.25, 0.5])
    unit = float(middle - low)
    if unit <= 0:
        return values
    bound = middle + _DRAWN_IN * unit
    found: Floats = np.where(values > bound, bound + unit * np.log1p(np.maximum(values - bound, 0) / unit), values)
    return found
