"""Ranges of least modelled error, found by Newton's method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgert_converters.quantize.ranges.method import RangeRule
from edgert_converters.quantize.ranges.min_max import span_of
from edgert_converters.quantize.ranges.search import Floats
from edgert_converters.quantize.statistics import RunningHistogram

__all__ = ["octav_range"]

_STEPS = 100
"""The recursion settles in 5 to 20 steps; this many only where it goes round between two bins."""

_SETTLED = 1e-6
"""Relative change of the range below which it has settled."""


def octav_range(statistics: RunningHistogram, rule: RangeRule, *, symmetric: bool) -> tuple[float, float]:
    """Returns the range that minimises clipping error plus rounding noise of step^2 / 12 per value that is not clipped.

    Source: Sakr, Dai, Venkatesan, Zimmer, Dally and Khailany, Optimal clipping and magnitude-aware differentiation for
    improved quantization-aware training, 2022, arXiv:2206.06501, the Newton-Raphson recursion of equation 6,
    `s <- E[|x|; |x| > s] / (4^-b / 3 * P(0 < |x| <= s) + P(|x| > s))`, from the mean magnitude on.

    Where it differs: the means are taken over the histogram; the term of rounding noise is step^2 / 12 with the steps
    that this project's integers have (127 to the larger end where symmetric, 255 over both ends where affine; theirs is
    2^(b-1) to the end); an affine range of two ends is Newton's step for both ends at once, whose equations are coupled
    by the common step; values in the bins next to 0 count as 0, which 8 bits represent without rounding noise.
    """
    low, high = span_of(statistics, symmetric=symmetric)
    tails = _Tails.of(statistics, symmetric=symmetric)
    if symmetric:
        largest = _one_end(tails, high, noise=1 / (12 * 127**2))
        return -largest, largest
    if low < 0.0 < high:
        return _two_ends(tails, low, high)
    end = _one_end(tails if high > 0.0 else tails.mirrored(), max(high, -low), noise=1 / (12 * 255**2))
    return (0.0, end) if high > 0.0 else (-end, 0.0)


@dataclass(frozen=True, slots=True)
class _Tails:
    """Values in rising order float64[M], none of them 0, with the share of all elements that each stands for."""

    values: Floats
    shares: Floats

    @classmethod
    def of(cls, statistics: RunningHistogram, *, symmetric: bool) -> _Tails:
        """The bins that hold something; their magnitudes where `symmetric`."""
        centres = statistics.centres()
        used = np.flatnonzero((statistics.counts > 0) & (np.abs(centres) > centres[1] - centres[0]))
        values, shares = centres[used], statistics.counts[used] / statistics.count
        if symmetric:
            order = np.argsort(np.abs(values), kind="stable")
            values, shares = np.abs(values)[order], shares[order]
        return cls(values, shares)

    def mirrored(self) -> _Tails:
        """The same with the sign of every value turned."""
        return _Tails(-self.values[::-1], self.shares[::-1])

    def above(self, end: float) -> tuple[float, float]:
        """Returns P(x > end) and E[x; x > end]."""
        start = int(np.searchsorted(self.values, end, side="right"))
        return float(self.shares[start:].sum()), float(self.shares[start:] @ self.values[start:])


def _one_end(tails: _Tails, largest: float, noise: float) -> float:
    """Equation 6 for values above 0; `noise` is what a clipping threshold of 1 costs each value below it."""
    if tails.values.size == 0:
        return largest
    total, weighted = tails.above(0.0)
    end = weighted / total
    for _ in range(_STEPS):
        outside, weighted = tails.above(end)
        following = weighted / (noise * (total - outside) + outside)
        if abs(following - end) <= _SETTLED * largest:
            break
        end = following
    return min(end, largest)


def _two_ends(tails: _Tails, low: float, high: float) -> tuple[float, float]:
    """Newton's step for both ends: the quadratic whose masks are those of the current range has one minimum."""
    mirrored = tails.mirrored()
    total = float(tails.shares.sum())
    best = (high / 2, -low / 2)
    for _ in range(_STEPS):
        (over, over_sum), (under, under_sum) = tails.above(best[0]), mirrored.above(best[1])
        noise = (total - over - under) / (12 * 255**2)
        system = np.array([[noise + over, noise], [noise, noise + under]])
        if not np.linalg.det(system) > 0.0:
            return low, high
        up, down = (max(float(end), 0.0) for end in np.linalg.solve(system, [over_sum, under_sum]))
        settled = abs(up - best[0]) + abs(down - best[1]) <= _SETTLED * (high - low)
        best = (up, down)
        if settled:
            break
    return max(-best[1], low), min(best[0], high)
