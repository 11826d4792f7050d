"""Evolution of candidates in spaces too large to be listed, with a score in place of measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgert.search.space import Choice, Space, choice_key, cross

__all__ = ["child_of", "evolve"]

_GENERATIONS, _CHILDREN, _PARENTS = 5, 300, 40
_CROSSED = 0.5


def evolve(
    space: Space,
    score: Callable[[Sequence[Choice]], NDArray[np.float64]],
    parents: Sequence[Choice],
    random: np.random.Generator,
) -> dict[str, Choice]:
    """Returns candidates by key that were found on the way to high scores: parents, random ones, children of the best.

    Args:
        space: where they come from.
        score: of candidates, float64[candidates], more is better.
        parents: one or more to begin with.
        random: what draws.
    """
    found: dict[str, Choice] = {}
    scores: dict[str, float] = {}
    fresh = [*parents, *(space.sample(random) for _ in range(_CHILDREN))]
    fresh += [child_of(space, parents, random) for _ in range(_CHILDREN)]
    for generation in range(_GENERATIONS):
        new = {choice_key(choice): choice for choice in fresh if choice_key(choice) not in found}
        if new:
            scores |= dict(zip(new, score(list(new.values())).tolist(), strict=True))
            found |= new
        if generation < _GENERATIONS - 1:
            best = [found[key] for key in sorted(scores, key=lambda key: -scores[key])[:_PARENTS]]
            fresh = [child_of(space, best, random) for _ in range(_CHILDREN)]
    return found


def child_of(space: Space, parents: Sequence[Choice], random: np.random.Generator) -> Choice:
    """Returns a neighbour of a random parent, or of what two of them have together."""
    one = parents[int(random.integers(len(parents)))]
    if random.random() < _CROSSED:
        one = cross(space, one, parents[int(random.integers(len(parents)))], random)
    try:
        return space.mutate(one, random)
    except ValueError:  # a space of one choice
        return one
