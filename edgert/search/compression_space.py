"""The space of ways to compress one trained model with no training, for one kind of device (docs/search-space.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import LayerRecord
from edgert.errors import RecipeError, did_you_mean
from edgert.recipe import Algorithm, RangeMethod
from edgert.recipe_options import OPTIONS
from edgert.search.space import Choice, Dimensions, ProductSpace, one_hot

__all__ = [
    "DEFAULT",
    "FLOAT",
    "GROUP",
    "INT8",
    "CompressionSpace",
    "build_space",
    "default_dimensions",
    "has_integers",
    "layers_of_group",
    "parse_algorithms",
]

FLOAT, INT8, DEFAULT = "fp32", "int8", "default"
GROUP = "precision:"
"""Starts the name of a dimension that says whether a group of layers is integer or stays float."""
PRECISIONS = (FLOAT, *next(option.choices for option in OPTIONS if option.field == "precisions"))
_STAGES = re.compile(r"(\d+|\*)/(\d+)")
_MOST_STAGES = 64
_NO_RANGES = frozenset({FLOAT, "fp16", "dynamic"})
_BLOCK = "-block"
_DRAWS = 64

Values = tuple[str | int | float, ...]


@dataclass(frozen=True)
class CompressionSpace:
    """Choices of which no two make the same files: what has no effect beside the rest has its first value.

    `layers` are those of the float model at `size` pixels (0: no image), for what is known without measuring.
    """

    dimensions: Dimensions
    layers: tuple[LayerRecord, ...] = ()
    size: int = 0
    _product: ProductSpace = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_product", ProductSpace(self.dimensions))

    def sample(self, random: np.random.Generator) -> Choice:
        """See Space."""
        return self.normal(self._product.sample(random))

    def mutate(self, choice: Choice, random: np.random.Generator) -> Choice:
        """See Space.

        Raises:
            ValueError: the space has one choice only.
        """
        for _ in range(_DRAWS):
            found = self.normal(self._product.mutate(choice, random))
            if found != dict(choice):
                return found
        raise ValueError("no neighbour of this choice makes other files")

    def allows(self, choice: Choice) -> bool:
        """See Space."""
        return self._product.allows(choice) and self.normal(choice) == dict(choice)

    def normal(self, choice: Choice) -> dict[str, str | int | float]:
        """Returns the choice that stands for all that make the same files as this one."""
        found = dict(choice)
        stages = [name for name in self.dimensions if _STAGES.fullmatch(name.removeprefix(GROUP)) and name != GROUP]
        all_float = bool(stages) and all(found[name] == FLOAT for name in stages)
        if all_float and has_integers(found) and FLOAT in self.dimensions.get("precision", ()):
            found["precision"] = FLOAT
        if not has_integers(found):
            for name in (*(name for name in self.dimensions if name.startswith(GROUP)), "ranges", "algorithm"):
                if name in found:
                    found[name] = self.dimensions[name][0]
        return found

    def encode(self, choices: Sequence[Choice]) -> NDArray[np.float64]:
        """See Space: a 1 for each value taken; then MACs, those in float and weight bytes, as shares of the model's."""
        return np.hstack([one_hot(self.dimensions, choices), np.asarray([self._cost(one) for one in choices])])

    def _cost(self, choice: Choice) -> tuple[float, float, float]:
        scale = (float(choice["resolution"]) / self.size) ** 2 if self.size and "resolution" in choice else 1.0
        kept = self._float_names(choice)
        macs = sum(layer.macs for layer in self.layers) or 1
        weights = sum(layer.weight_bytes for layer in self.layers) or 1
        float_macs = sum(layer.macs for layer in self.layers if layer.name in kept)
        float_weights = sum(layer.weight_bytes for layer in self.layers if layer.name in kept)
        return scale, scale * float_macs / macs, (float_weights + (weights - float_weights) / 4) / weights

    def _float_names(self, choice: Choice) -> set[str]:
        if choice.get("precision", INT8) == FLOAT:
            return {layer.name for layer in self.layers}
        groups = [name for name in self.dimensions if name.startswith(GROUP) and choice[name] == FLOAT]
        return {layer for name in groups for layer in layers_of_group(self.layers, name)}


def build_space(
    given: Mapping[str, Values], layers: Sequence[LayerRecord], known: Sequence[str], size: int
) -> CompressionSpace:
    """Returns the space of the dimensions in a recipe's [search.space].

    Args:
        given: values by name; ``precision:*/N`` stands for N stages of consecutive layers.
        layers: of the float model.
        known: names of dimensions that the device has.
        size: height and width of the model's image; 0: it takes none.

    Raises:
        RecipeError: an unknown dimension or value, or a pattern that matches no layer.
    """
    dimensions: dict[str, Values] = {}
    for name, values in given.items():
        if not name.startswith(GROUP) and name not in known:
            raise RecipeError(f"[search.space]: no dimension {name!r} on this device{did_you_mean(name, known)}")
        for single in _expand(name):
            _check(single, values, layers)
            dimensions[single] = tuple(values)
    return CompressionSpace(dimensions, tuple(layers), size)


def default_dimensions(*, is_microcontroller: bool) -> dict[str, Values]:
    """Returns what is searched where the recipe has no [search.space]."""
    ranges = (RangeMethod.MSE.value, RangeMethod.MIN_MAX.value, RangeMethod.OCTAV.value)
    if is_microcontroller:
        return {"precision": (INT8, "int8-per-tensor"), "ranges": ranges, "algorithm": (DEFAULT, Algorithm.NONE.value)}
    return {"precision": (INT8, FLOAT), f"{GROUP}*/8": (INT8, FLOAT), "ranges": ranges}


def has_integers(choice: Choice) -> bool:
    """Whether ranges, steps of the quantizer and groups of layers have an effect beside the precision of a choice."""
    precision = str(choice.get("precision", INT8))
    return precision not in _NO_RANGES and _BLOCK not in precision


def layers_of_group(layers: Sequence[LayerRecord], dimension: str) -> tuple[str, ...]:
    """Returns the names of the layers of a group: those that a pattern matches, or the K-th of N stages (``K/N``).

    Stages hold about equally many layers that multiply, in graph order; layers that do not go with the one before.
    """
    pattern = dimension.removeprefix(GROUP)
    stage = _STAGES.fullmatch(pattern)
    if stage is None:
        return tuple(layer.name for layer in layers if layer.name == pattern or fnmatchcase(layer.name, pattern))
    wanted, count = int(stage[1]) - 1, int(stage[2])
    total = sum(layer.macs > 0 for layer in layers)
    seen, found = 0, []
    for layer in layers:
        seen += layer.macs > 0
        if total and max(seen - 1, 0) * count // total == wanted:
            found.append(layer.name)
    return tuple(found)


def parse_algorithms(text: str) -> tuple[Algorithm, ...] | None:
    """Returns the steps of ``equalize+smooth``; None for ``default``: those of the recipe.

    Raises:
        RecipeError: an unknown step.
    """
    if text == DEFAULT:
        return None
    known = [algorithm.value for algorithm in Algorithm]
    for name in text.split("+"):
        if name not in known:
            hint = did_you_mean(name, [*known, DEFAULT])
            raise RecipeError(f"[search.space]: algorithm: no step {name!r}{hint}; steps are joined with +")
    return tuple(Algorithm(name) for name in text.split("+"))


def _expand(name: str) -> list[str]:
    stages = _STAGES.fullmatch(name.removeprefix(GROUP)) if name.startswith(GROUP) else None
    if stages is None:
        return [name]
    count = int(stages[2])
    if not 1 <= count <= _MOST_STAGES:
        raise RecipeError(f"[search.space]: {name}: 1 to {_MOST_STAGES} stages, got {count}")
    if stages[1] == "*":
        return [f"{GROUP}{number}/{count}" for number in range(1, count + 1)]
    if not 1 <= int(stages[1]) <= count:
        raise RecipeError(f"[search.space]: {name}: stages are counted from 1 to {count}")
    return [name]


def _check(name: str, values: Values, layers: Sequence[LayerRecord]) -> None:
    where = f"[search.space]: {name}"
    if name.startswith(GROUP):
        _only(where, values, (FLOAT, INT8))
        if not layers_of_group(layers, name):
            raise RecipeError(f"{where}: the pattern matches no layer; edgert inspect lists them")
    elif name == "precision":
        _only(where, values, PRECISIONS)
    elif name == "ranges":
        _only(where, values, tuple(method.value for method in RangeMethod))
    elif name == "algorithm":
        for value in values:
            parse_algorithms(str(value))
    elif name in {"resolution", "threads", "max_ram"}:
        wrong = [value for value in values if not isinstance(value, int) or value < 1]
        if wrong:
            raise RecipeError(f"{where}: must be whole numbers above 0, got {wrong[0]!r}")


def _only(where: str, values: Values, allowed: Sequence[str]) -> None:
    for value in values:
        if value not in allowed:
            raise RecipeError(f"{where}: no value {value!r}{did_you_mean(str(value), allowed)}")
