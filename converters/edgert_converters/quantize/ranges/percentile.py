"""Ranges that drop a share of the largest values."""

from __future__ import annotations

import numpy as np

from edgert_converters.quantize.ranges.method import RangeRule
from edgert_converters.quantize.ranges.min_max import span_of
from edgert_converters.quantize.statistics import RunningHistogram

__all__ = ["percentile_range"]


def percentile_range(statistics: RunningHistogram, rule: RangeRule, *, symmetric: bool) -> tuple[float, float]:
    """Returns the values outside of which a share of 1 - percentile lies on each side, to one bin of the histogram.

    Symmetric: the share is of all magnitudes.

    Source: Wu, Judd, Zhang, Isaev and Micikevicius, Integer quantization for deep learning inference: principles and
    empirical evaluation, 2020, arXiv:2004.09602, section "Calibration". Their percentile is of
    magnitudes; affine ranges take it for each end of its own.
    """
    share = rule.percentile / 100.0
    if symmetric:
        largest = min(_magnitude_quantile(statistics, share), span_of(statistics, symmetric=True)[1])
        return -largest, largest
    return min(statistics.quantile(1.0 - share), 0.0), max(statistics.quantile(share), 0.0)


def _magnitude_quantile(statistics: RunningHistogram, share: float) -> float:
    centres = statistics.centres()
    magnitudes, half_bin = np.abs(centres), abs(centres[1] - centres[0]) / 2
    order = np.argsort(magnitudes, kind="stable")
    position = int(np.searchsorted(np.cumsum(statistics.counts[order]), share * statistics.count))
    return float(magnitudes[order[min(position, order.size - 1)]] + half_bin)
