"""NSGA-II with constraint domination: the baseline that knows nothing but ranks.

Optuna's sampler is not used, for its population lives in the study's attributes and repeats choices; here everything
follows from the finished trials, and no choice comes twice.

Source: Deb, Pratap, Agarwal, Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE
Transactions on Evolutionary Computation 6(2), 2002. Deviation: steady state, so that workers never wait for a
generation: survivors are chosen among all finished trials before every child.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgert.search.algorithm import Trial, random_of
from edgert.search.algorithms.pool import all_choices, draw_new, taken_keys
from edgert.search.front import front_ranks
from edgert.search.goals import Goals
from edgert.search.space import Choice, Space, choice_key, cross

__all__ = ["Nsga2", "survivors"]

_POPULATION = 20
_CROSSED = 0.9
_TRIES = 50


class Nsga2:
    """See edgert.search.algorithm.Algorithm."""

    def __init__(self, space: Space, goals: Goals, *, seed: int, evaluations: int) -> None:
        self.predicted: Mapping[str, float] | None = None  # it knows nothing before it is measured
        self._space, self._seed, self._listed = space, seed, all_choices(space)
        self._population = min(_POPULATION, max(4, evaluations // 5))

    def ask(self, number: int, finished: Sequence[Trial], running: Sequence[Choice]) -> Choice | None:
        """See Algorithm."""
        random, taken = random_of(self._seed, number), taken_keys(finished, running)
        parents = survivors(finished, self._population) if number >= self._population else []
        if parents:
            for _ in range(_TRIES):
                child = self._child(parents, random)
                if child is not None and choice_key(child) not in taken:
                    return child
        return draw_new(self._space, self._listed, taken, random)

    def _child(self, parents: Sequence[Trial], random: np.random.Generator) -> Choice | None:
        """A child of two winners of tournaments; `parents` are best first."""
        one, other = (parents[int(random.integers(len(parents), size=2).min())].choice for _ in range(2))
        child = cross(self._space, one, other, random) if random.random() < _CROSSED else one
        try:
            return self._space.mutate(child, random)
        except ValueError:  # a space of one choice
            return None


def survivors(trials: Sequence[Trial], count: int) -> list[Trial]:
    """Returns the best trials that worked, best first: feasible before infeasible, by rank, and the lonely first.

    Those that break limits are ordered by the sum of their excesses.
    """
    worked = [trial for trial in trials if trial.minimized is not None and np.isfinite(trial.minimized).all()]
    kept = [trial for trial in worked if trial.is_feasible]
    values = np.array([trial.minimized for trial in kept], np.float64)
    found: list[Trial] = []
    if kept:
        ranks = front_ranks(values)
        for rank in range(int(ranks.max()) + 1):
            rows = np.flatnonzero(ranks == rank)
            lonely = np.argsort(-_crowding(values[rows]), kind="stable")
            found += [kept[row] for row in rows[lonely]]
    broken = [trial for trial in worked if not trial.is_feasible]
    found += sorted(broken, key=lambda trial: sum(max(item, 0.0) for item in trial.excesses or ()))
    return found[:count]


def _crowding(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The crowding distance of each point of one front: infinite at its ends."""
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        span = float(np.ptp(column)) or 1.0
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distance
