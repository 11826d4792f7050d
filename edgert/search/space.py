"""A search space: named choices, each with the values that it may take.

A choice is a flat mapping of names to JSON values, so that it can be stored, compared, sent and shown anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Choice", "Dimensions", "ProductSpace", "Space", "choice_key", "cross", "one_hot"]

Choice = Mapping[str, str | int | float]
"""One value for each dimension of a space, in the order of its dimensions."""

Dimensions = Mapping[str, tuple[str | int | float, ...]]
"""Name of each dimension: the values that it may take, in their natural order where they have one."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))  # made once: keys are asked for by the thousand


class Space(Protocol):
    """Where candidates come from. All randomness comes from the generator that is passed."""

    @property
    def dimensions(self) -> Dimensions:
        """Every name and value that a choice of this space can hold."""
        ...

    def sample(self, random: np.random.Generator) -> Choice:
        """Returns a random choice."""
        ...

    def mutate(self, choice: Choice, random: np.random.Generator) -> Choice:
        """Returns a neighbour of a choice, which differs from it."""
        ...

    def allows(self, choice: Choice) -> bool:
        """Whether the values of a choice, each allowed by itself, are allowed together."""
        ...

    def encode(self, choices: Sequence[Choice]) -> NDArray[np.float64]:
        """Returns features for a predictor, known without measuring anything, shape (choices, features)."""
        ...


@dataclass(frozen=True)
class ProductSpace:
    """Every combination of the dimensions' values."""

    dimensions: Dimensions

    def __post_init__(self) -> None:
        for name, values in self.dimensions.items():
            if not values or len(set(values)) != len(values):
                raise ValueError(f"dimension {name!r} needs one value or more, each once: {values}")

    def sample(self, random: np.random.Generator) -> Choice:
        """See Space."""
        return {name: values[random.integers(len(values))] for name, values in self.dimensions.items()}

    def mutate(self, choice: Choice, random: np.random.Generator) -> Choice:
        """See Space; one dimension takes another value.

        Raises:
            ValueError: the space has one choice only.
        """
        free = [name for name, values in self.dimensions.items() if len(values) > 1]
        if not free:
            raise ValueError("a space of one choice has no neighbours")
        name = free[random.integers(len(free))]
        others = [value for value in self.dimensions[name] if value != choice[name]]
        return {**choice, name: others[random.integers(len(others))]}

    def allows(self, choice: Choice) -> bool:
        """See Space."""
        return all(choice[name] in values for name, values in self.dimensions.items())

    def encode(self, choices: Sequence[Choice]) -> NDArray[np.float64]:
        """See Space."""
        return one_hot(self.dimensions, choices)


def choice_key(choice: Choice) -> str:
    """Returns the text by which a choice is known: JSON with sorted names."""
    return _ENCODER.encode(dict(choice))


def cross(space: Space, one: Choice, other: Choice, random: np.random.Generator) -> Choice:
    """Returns a child that takes each value from one of two parents, or `one` where the space allows no such child."""
    for _ in range(8):
        takes = random.random(len(one)) < 0.5
        child = {name: (one if take else other)[name] for name, take in zip(one, takes, strict=True)}
        if space.allows(child):
            return child
    return one


def one_hot(dimensions: Dimensions, choices: Sequence[Choice]) -> NDArray[np.float64]:
    """Returns a 1 for each value that a choice takes, shape (choices, sum of the dimensions' sizes)."""
    rows = [
        [float(choice[name] == value) for name, values in dimensions.items() for value in values] for choice in choices
    ]
    return np.asarray(rows, np.float64).reshape(len(choices), sum(map(len, dimensions.values())))
