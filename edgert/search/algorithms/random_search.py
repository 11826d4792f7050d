"""Random search: every trial a random choice that was not evaluated; what all others are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgert.search.algorithm import Trial, random_of
from edgert.search.algorithms.pool import all_choices, draw_new, taken_keys
from edgert.search.goals import Goals
from edgert.search.space import Choice, Space

__all__ = ["RandomSearch"]


class RandomSearch:
    """See edgert.search.algorithm.Algorithm."""

    def __init__(self, space: Space, goals: Goals, *, seed: int, evaluations: int) -> None:
        self.predicted: Mapping[str, float] | None = None  # it knows nothing before it is measured
        self._space, self._seed, self._listed = space, seed, all_choices(space)

    def ask(self, number: int, finished: Sequence[Trial], running: Sequence[Choice]) -> Choice | None:
        """See Algorithm."""
        return draw_new(self._space, self._listed, taken_keys(finished, running), random_of(self._seed, number))
