"""Choices that were not evaluated yet: all of a small space, or draws from a large one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Set

import numpy as np

from edgert.search.algorithm import Trial
from edgert.search.space import Choice, Space, choice_key

__all__ = ["MOST", "all_choices", "draw_new", "taken_keys"]

MOST = 20_000
"""Spaces of at most so many combinations of values are listed."""

_DRAWS = 500


def all_choices(space: Space) -> dict[str, Choice] | None:
    """Returns every choice of a small space by its key, in the order of its dimensions; None of a large one."""
    if math.prod(map(len, space.dimensions.values())) > MOST:
        return None
    combinations = itertools.product(*space.dimensions.values())
    choices = (dict(zip(space.dimensions, values, strict=True)) for values in combinations)
    return {choice_key(choice): choice for choice in choices if space.allows(choice)}


def taken_keys(finished: Iterable[Trial], running: Iterable[Choice]) -> set[str]:
    """Returns the keys of all that is evaluated, or is being evaluated."""
    return {choice_key(trial.choice) for trial in finished} | {choice_key(choice) for choice in running}


def draw_new(
    space: Space, listed: Mapping[str, Choice] | None, taken: Set[str], random: np.random.Generator
) -> Choice | None:
    """Returns a random choice that is not taken.

    Args:
        space: where it comes from.
        listed: `all_choices` of the space.
        taken: keys of choices that must not come.
        random: what draws.

    Returns:
        None where all of a small space is taken, or 500 draws from a large one.
    """
    if listed is not None:
        left = [key for key in listed if key not in taken]
        return listed[left[int(random.integers(len(left)))]] if left else None
    draws = (space.sample(random) for _ in range(_DRAWS))
    return next((choice for choice in draws if choice_key(choice) not in taken), None)
