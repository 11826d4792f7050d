"""What a search is for: objectives, and hard limits that every reported point keeps."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgert.errors import RecipeError, did_you_mean

__all__ = ["Goals", "Limit", "Measured", "Quantity", "parse_limit"]

_LIMIT = re.compile(r"\s*(?P<name>[a-z_0-9]+)\s*(?P<sign><=|>=|<|>|=)\s*(?P<bound>[-+0-9.eE_]+)\s*")


class Quantity(enum.Enum):
    """What a candidate is measured by. Energy is gross, at the rate that the recipe states."""

    ACCURACY = "accuracy"
    LATENCY_MS = "latency_ms"
    ENERGY_MJ = "energy_mj"
    RAM_BYTES = "ram_bytes"
    FLASH_BYTES = "flash_bytes"
    SIZE_BYTES = "size_bytes"
    INSTRUCTIONS = "instructions"

    @property
    def is_better_high(self) -> bool:
        """True of accuracy alone."""
        return self is Quantity.ACCURACY


Measured = Mapping[Quantity, float]
"""What was measured of a candidate, in the quantity's own unit."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound that a candidate must keep: at most `bound`, or at least where high values are better."""

    quantity: Quantity
    bound: float

    def __str__(self) -> str:
        return f"{self.quantity.value} {'>=' if self.quantity.is_better_high else '<='} {self.bound:g}"

    def excess(self, measured: Measured) -> float:
        """By how much the bound is broken, as a share of it; 0 or less: it is kept. A NaN breaks every bound."""
        value = measured[self.quantity]
        if math.isnan(value):
            return math.inf
        excess = self.bound - value if self.quantity.is_better_high else value - self.bound
        return excess / (abs(self.bound) or 1.0)


@dataclass(frozen=True, slots=True)
class Goals:
    """One objective or more, and limits, which may be on other quantities."""

    objectives: tuple[Quantity, ...]
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        if not self.objectives or len(set(self.objectives)) != len(self.objectives):
            raise RecipeError("a search needs one objective or more, each once; for example accuracy and latency_ms")

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """All that must be measured, objectives first."""
        return tuple(dict.fromkeys([*self.objectives, *(limit.quantity for limit in self.limits)]))

    def minimized(self, measured: Measured) -> tuple[float, ...]:
        """The objectives as numbers of which less is better."""
        return tuple(-measured[item] if item.is_better_high else measured[item] for item in self.objectives)

    def excesses(self, measured: Measured) -> tuple[float, ...]:
        """By how much each limit is broken; 0 or less: it is kept."""
        return tuple(limit.excess(measured) for limit in self.limits)


def parse_limit(text: str) -> Limit:
    """Reads ``latency_ms <= 30`` or ``accuracy >= 0.9``.

    Raises:
        RecipeError: no such form or quantity, or a bound in the direction that is no limit.
    """
    match = _LIMIT.fullmatch(text)
    if match is None or match["sign"] not in {"<=", ">="}:
        raise RecipeError(f"limit {text!r}: write QUANTITY <= NUMBER, or accuracy >= NUMBER")
    names = [item.value for item in Quantity]
    if match["name"] not in names:
        raise RecipeError(f"limit {text!r}: no quantity {match['name']!r}{did_you_mean(match['name'], names)}")
    quantity = Quantity(match["name"])
    if (match["sign"] == ">=") != quantity.is_better_high:
        sign = ">=" if quantity.is_better_high else "<="
        raise RecipeError(f"limit {text!r}: {quantity.value} is limited with {sign}")
    try:
        bound = float(match["bound"])
    except ValueError:
        bound = math.nan
    if not math.isfinite(bound):
        raise RecipeError(f"limit {text!r}: {match['bound']!r} is no finite number")
    return Limit(quantity, bound)
