"""What every search algorithm does: it is asked for the next choice, and told all that was measured before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from edgert.search.goals import Goals
from edgert.search.space import Choice, Space

__all__ = ["Algorithm", "MakeAlgorithm", "Trial", "random_of"]


@dataclass(frozen=True, slots=True)
class Trial:
    """A finished evaluation. `minimized` and `excesses` as `Goals` gives them; None where it failed."""

    number: int
    choice: Choice
    minimized: tuple[float, ...] | None
    excesses: tuple[float, ...] | None = ()

    @property
    def is_feasible(self) -> bool:
        """It worked, and keeps every limit."""
        return self.minimized is not None and self.excesses is not None and all(item <= 0 for item in self.excesses)


class Algorithm(Protocol):
    """Proposes choices.

    It may keep what it computed, but what it proposes depends on the arguments alone: a search that was killed goes on
    with a new object and the trials of the storage.
    """

    @property
    def predicted(self) -> Mapping[str, float] | None:
        """What it expects of the choice that it proposed last, by quantity; None where it expects nothing."""
        ...

    def ask(self, number: int, finished: Sequence[Trial], running: Sequence[Choice]) -> Choice | None:
        """Returns the choice of trial `number`, or None where nothing is left that was not evaluated.

        Args:
            number: of the trial that is to begin, from 0.
            finished: in the order of their numbers; with one worker all of 0 to number - 1.
            running: choices that other workers evaluate now.
        """
        ...


class MakeAlgorithm(Protocol):
    """Makes an algorithm for a search."""

    def __call__(self, space: Space, goals: Goals, *, seed: int, evaluations: int) -> Algorithm:
        """`evaluations` is how many the whole search may take, by which an algorithm may pace itself."""
        ...


def random_of(seed: int, number: int) -> np.random.Generator:
    """Returns the generator of trial `number`: every random choice derives from (seed, number)."""
    return np.random.default_rng([seed, number])
