"""Predictor-guided evolution: measure few, fit predictors, search on them, measure the best; repeat.

Source: Cummings, Sridhar, Szankin, Sridharan, A hardware-aware framework for accelerating neural architecture search
across modalities, 2022, arXiv 2205.10358 (LINAS). Deviations: Gaussian processes with the exact gain of hypervolume in
place of regression with NSGA-II, one measurement at a time within a round, and limits and failures are learned, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.search.algorithm import Trial, random_of
from edgert.search.algorithms.evolution import evolve
from edgert.search.algorithms.pool import all_choices, draw_new, taken_keys
from edgert.search.algorithms.surrogate import (
    MOST_FITTED,
    MOST_KNOWN,
    Kernels,
    Lesson,
    believe,
    best_first,
    fit_kernels,
    learn,
)
from edgert.search.goals import Goals
from edgert.search.space import Choice, Space, choice_key

__all__ = ["PredictorGuided"]

Floats = NDArray[np.float64]

_FIRST, _LEAST_FIRST = 10, 4
_ROUND, _GROWTH = 5, 40  # a round takes 5 trials, or a 40th of those before it
_SHORTLIST = 1500
_SPREAD_FROM, _SCALED_BY = 2000, 1000


@dataclass(frozen=True, eq=False)
class _Round:
    """What is settled when a round begins, from the trials before it alone."""

    kernels: Kernels
    reference: Floats
    shortlist: tuple[Choice, ...]
    features: Floats


class PredictorGuided:
    """See edgert.search.algorithm.Algorithm."""

    def __init__(self, space: Space, goals: Goals, *, seed: int, evaluations: int) -> None:
        self._space, self._goals, self._seed = space, goals, seed
        self._first = min(_FIRST, max(_LEAST_FIRST, evaluations // 4))
        self._listed = all_choices(space)
        if self._listed is None:
            self._drawn = _draws(space, random_of(seed, 0), _SPREAD_FROM)
        else:
            listed = tuple(self._listed.values())
            order = random_of(seed, 0).permutation(len(listed))[:_SPREAD_FROM]
            self._drawn = tuple(listed[index] for index in order)
        sample = space.encode(self._drawn[:_SCALED_BY] if self._listed is None else tuple(self._listed.values()))
        self._varies = np.ptp(sample, axis=0) > 0
        self._middle, self._unit = sample.mean(axis=0)[self._varies], sample.std(axis=0)[self._varies]
        self._all_features = None if self._listed is None else self._scaled(sample)
        self._first_choices: tuple[Choice, ...] | None = None
        self._round: tuple[tuple[int, tuple[int, ...]], _Round] | None = None
        self.predicted: dict[str, float] | None = None

    def ask(self, number: int, finished: Sequence[Trial], running: Sequence[Choice]) -> Choice | None:
        """See Algorithm."""
        self.predicted = None
        taken = taken_keys(finished, running)
        random = random_of(self._seed, number)
        known = [_as_failed(trial) for trial in finished]
        begin = _round_begin(number, self._first)
        before = [trial for trial in known if trial.number < begin]
        if number < self._first or sum(trial.minimized is not None for trial in before) < 3 or not self._varies.any():
            found = next((choice for choice in self._spread() if choice_key(choice) not in taken), None)
            return found or draw_new(self._space, self._listed, taken, random)
        found = self._best(begin, before, known, running, taken)
        return found or draw_new(self._space, self._listed, taken, random)

    def _best(
        self, begin: int, before: list[Trial], known: list[Trial], running: Sequence[Choice], taken: set[str]
    ) -> Choice | None:
        """Returns the candidate of the round's shortlist that promises most by all that is finished."""
        settled = self._settled(begin, before)
        left = [index for index, choice in enumerate(settled.shortlist) if choice_key(choice) not in taken]
        if not left:
            return None
        trials = best_first(known, MOST_KNOWN)
        lesson = learn(trials)
        beliefs, _ = believe(
            settled.kernels,
            lesson,
            self._features([trial.choice for trial in trials]),
            self._features(running),
            settled.features[left],
            settled.reference,
        )
        best = int(np.argmax(beliefs.gains))
        self.predicted = self._in_words(lesson, beliefs.means[best])
        return settled.shortlist[left[best]]

    def _settled(self, begin: int, before: list[Trial]) -> _Round:
        """Fits the predictors and searches on them, once a round."""
        numbers = tuple(trial.number for trial in before)
        if self._round is None or self._round[0] != (begin, numbers):
            trials = best_first(before, MOST_FITTED)
            lesson, features = learn(trials), self._features([trial.choice for trial in trials])
            kernels = fit_kernels(lesson, features)

            def promise(candidates: Floats) -> tuple[Floats, Floats]:
                beliefs, reference = believe(kernels, lesson, features, features[:0], candidates, None)
                return beliefs.gains, reference

            def score(choices: Sequence[Choice]) -> Floats:
                return promise(self._features(choices))[0]

            if self._listed is not None and self._all_features is not None:
                pool, known = self._listed, self._all_features
            else:
                parents = [trial.choice for trial in trials if trial.minimized is not None]
                pool = evolve(self._space, score, parents, random_of(self._seed, begin))
                known = self._features(tuple(pool.values()))
            taken = taken_keys(before, ())
            choices = tuple(pool.values())
            left = [index for index, key in enumerate(pool) if key not in taken]
            gains, reference = promise(known[left])
            kept = [left[index] for index in np.argsort(-gains, kind="stable")[:_SHORTLIST]]
            found = _Round(kernels, reference, tuple(choices[index] for index in kept), known[kept])
            self._round = (begin, numbers), found
        return self._round[1]

    def _spread(self) -> tuple[Choice, ...]:
        """The first choices: each the furthest from those before it, so that the ends of the space are among them."""
        if self._first_choices is None:
            features = self._features(self._drawn)
            picks, nearest = [0], ((features - features[0]) ** 2).sum(axis=1)
            while len(picks) < min(self._first, len(features)):
                picks.append(int(np.argmax(nearest)))
                nearest = np.minimum(nearest, ((features - features[picks[-1]]) ** 2).sum(axis=1))
            self._first_choices = tuple(self._drawn[index] for index in picks)
        return self._first_choices

    def _features(self, choices: Sequence[Choice]) -> Floats:
        if not choices:
            return np.empty((0, int(self._varies.sum())))
        return self._scaled(self._space.encode(choices))

    def _scaled(self, encoded: Floats) -> Floats:
        scaled: Floats = (encoded[:, self._varies] - self._middle) / self._unit
        return scaled

    def _in_words(self, lesson: Lesson, means: Floats) -> dict[str, float]:
        """What is expected, in the quantities' own units."""
        values = {}
        for quantity, mean, is_log in zip(self._goals.objectives, means.tolist(), lesson.is_log, strict=True):
            minimized = float(np.exp(mean)) if is_log else mean
            values[quantity.value] = -minimized if quantity.is_better_high else minimized
        return values


def _draws(space: Space, random: np.random.Generator, count: int) -> tuple[Choice, ...]:
    """Returns different random choices, at most `count`."""
    return tuple({choice_key(choice): choice for choice in (space.sample(random) for _ in range(count))}.values())


def _round_begin(number: int, first: int) -> int:
    """Returns the number of the trial with which the round of trial `number` begins."""
    begin = first
    while begin + max(_ROUND, begin // _GROWTH) <= number:
        begin += max(_ROUND, begin // _GROWTH)
    return begin


def _as_failed(trial: Trial) -> Trial:
    """Returns the trial; one whose objectives are no finite numbers counts as failed."""
    if trial.minimized is None or trial.excesses is None or not np.isfinite(trial.minimized).all():
        return Trial(trial.number, trial.choice, None, None)
    return trial
