"""What a range method is given and gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edgert.recipe import RangeMethod
from edgert_converters.quantize.statistics import RunningHistogram

__all__ = ["RangeMethodRule", "RangeRule"]


@dataclass(frozen=True, slots=True)
class RangeRule:
    """How ranges are chosen; `percentile` is for that method, in percent."""

    method: RangeMethod = RangeMethod.MSE
    percentile: float = 99.99


class RangeMethodRule(Protocol):
    """One method."""

    def __call__(self, statistics: RunningHistogram, rule: RangeRule, *, symmetric: bool) -> tuple[float, float]:
        """Returns (low, high) with low <= 0 <= high.

        Args:
            statistics: of one tensor; it has seen values other than 0.
            rule: settings of the method.
            symmetric: int8 with zero point 0: low is -high; else affine int8.
        """
        ...
