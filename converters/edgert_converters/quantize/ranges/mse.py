"""Ranges of least squared error."""

from __future__ import annotations

import numpy as np

from edgert_converters.quantize.ranges.method import RangeRule
from edgert_converters.quantize.ranges.search import Floats, Grids, cheapest_range
from edgert_converters.quantize.statistics import RunningHistogram

__all__ = ["mse_range"]


def mse_range(statistics: RunningHistogram, rule: RangeRule, *, symmetric: bool) -> tuple[float, float]:
    """Returns the range that minimises the expected squared error of quantized values, over a grid of candidates.

    Source: Sung, Shin and Hwang, Resiliency of deep neural networks under quantization, 2015, arXiv:1511.06488, their
    L2 criterion; here over the histogram, and for both ends of an affine range.
    """
    return cheapest_range(statistics, _squared_errors, symmetric=symmetric)


def _squared_errors(statistics: RunningHistogram, grids: Grids) -> Floats:
    used = np.flatnonzero(statistics.counts)
    values, weights = statistics.centres()[used], statistics.counts[used].astype(np.float64)
    errors: Floats = (grids.levels(values) * grids.scale - values) ** 2 @ weights
    return errors
