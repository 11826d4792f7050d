"""The search for the cheapest range that MSE and entropy share."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgert_converters.quantize.ranges.min_max import span_of
from edgert_converters.quantize.statistics import RunningHistogram

__all__ = ["Cost", "Floats", "Grids", "cheapest_range"]

Floats: TypeAlias = NDArray[np.float64]

_CANDIDATES = np.linspace(1.0, 0.25, 61)
"""The widest first, which wins a tie."""
_SWEEPS = 2


class Grids:
    """The values that 8 bits represent over each candidate range: scale float64[K, 1] and the ends of the integers.

    Affine: 255 steps from low to high, zero point moved to an integer. Symmetric: 127 steps from 0 to high, integers in
    [-128, 127].
    """

    __slots__ = ("first", "last", "scale")

    def __init__(self, lows: Floats, highs: Floats, *, symmetric: bool) -> None:
        if symmetric:
            self.scale: Floats = (highs / 127)[:, None]
            self.first: Floats = np.full_like(self.scale, -128.0)
            self.last: Floats = np.full_like(self.scale, 127.0)
        else:
            self.scale = ((highs - lows) / 255)[:, None]
            self.first = np.rint(lows[:, None] / self.scale)
            self.last = self.first + 255

    def levels(self, values: Floats) -> Floats:
        """Returns the integers (zero at 0) of `values` float64[M], float64[K, M]; rounds half to even."""
        return np.clip(np.rint(values / self.scale), self.first, self.last)


class Cost(Protocol):
    """What a range costs."""

    def __call__(self, statistics: RunningHistogram, grids: Grids) -> Floats:
        """Returns one number per candidate, float64[K]."""
        ...


def cheapest_range(statistics: RunningHistogram, cost: Cost, *, symmetric: bool) -> tuple[float, float]:
    """Returns the range of least cost: of all symmetric candidates, else by coordinate descent over both ends.

    An end at 0 stays there.
    """
    low, high = span_of(statistics, symmetric=symmetric)

    def best(lows: Floats, highs: Floats) -> int:
        return int(np.argmin(cost(statistics, Grids(lows, highs, symmetric=symmetric))))

    if symmetric:
        tried = high * _CANDIDATES
        chosen = float(tried[best(-tried, tried)])
        return -chosen, chosen
    best_low, best_high = low, high
    for _ in range(_SWEEPS if low < 0.0 < high else 1):
        if high > 0.0:
            tried = high * _CANDIDATES
            best_high = float(tried[best(np.full_like(tried, best_low), tried)])
        if low < 0.0:
            tried = low * _CANDIDATES
            best_low = float(tried[best(tried, np.full_like(tried, best_high))])
    return best_low, best_high
