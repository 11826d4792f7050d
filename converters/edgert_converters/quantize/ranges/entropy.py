"""Ranges of least Kullback-Leibler divergence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgert_converters.quantize.ranges.method import RangeRule
from edgert_converters.quantize.ranges.search import Floats, Grids, cheapest_range
from edgert_converters.quantize.statistics import RunningHistogram

__all__ = ["entropy_range"]


def entropy_range(statistics: RunningHistogram, rule: RangeRule, *, symmetric: bool) -> tuple[float, float]:
    """Returns the range whose clipped and quantized histogram diverges least from the histogram of the values.

    Source: Migacz, 8-bit inference with TensorRT, GPU Technology Conference 2017, the algorithm of the slides "entropy
    calibration".

    Where it differs: there are 8 bins or more for each step of the widest candidate, 2 for the narrowest (with as many
    bins as steps rounding seems free, and all candidates the same); a level's values are the bins that round to it;
    the bins next to 0 do not count, which are exact; what the divergence of so many bins is by chance alone is taken
    off: (bins - levels) / 2n (Miller, Note on the bias of information estimates, 1955); both ends of an affine range
    are searched.
    """
    return cheapest_range(statistics, _divergences, symmetric=symmetric)


def _divergences(statistics: RunningHistogram, grids: Grids) -> Floats:
    centres, counts = statistics.centres(), statistics.counts.astype(np.float64)
    # the many zeros of a rectifier are one value and not a bin full of different ones
    used = np.flatnonzero((counts > 0) & (np.abs(centres) > centres[1] - centres[0]))
    centres, counts = centres[used], counts[used]
    levels = (grids.levels(centres) - grids.first).astype(np.int64)
    lows, highs = ((ends - half) * grids.scale for ends, half in ((grids.first, 0.5), (grids.last, -0.5)))
    inside = (centres >= lows) & (centres <= highs)
    return np.array([_divergence(counts, level, kept) for level, kept in zip(levels, inside, strict=True)])


def _divergence(counts: Floats, level: NDArray[np.int64], inside: NDArray[np.bool_]) -> float:
    """Divergence of one candidate; all bins hold something."""
    kept = np.flatnonzero(inside)
    if kept.size == 0:
        return np.inf
    p, level, total = counts[kept].copy(), level[kept], counts.sum()
    # each level spreads its mass evenly over the occupied bins it stands for
    bins = np.bincount(level)
    q = (np.bincount(level, p) / np.maximum(bins, 1))[level]
    p[0] += counts[: kept[0]].sum()
    p[-1] += counts[kept[-1] + 1 :].sum()
    noise = (kept.size - np.count_nonzero(bins)) / (2 * total)
    return float(np.sum(p * np.log(p / total * q.sum() / q)) / total - noise)
