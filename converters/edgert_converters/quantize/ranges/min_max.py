"""Ranges that keep everything seen."""

from __future__ import annotations

from edgert_converters.quantize.ranges.method import RangeRule
from edgert_converters.quantize.statistics import RunningHistogram

__all__ = ["min_max_range", "span_of"]


def min_max_range(statistics: RunningHistogram, rule: RangeRule, *, symmetric: bool) -> tuple[float, float]:
    """Returns the smallest and the largest value, exactly.

    Source: Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-only
    inference, 2018, arXiv:1712.05877, section 3.1; without their moving average, which forgets early
    samples.
    """
    return span_of(statistics, symmetric=symmetric)


def span_of(statistics: RunningHistogram, *, symmetric: bool) -> tuple[float, float]:
    """Returns the range of all values and 0, where every search starts."""
    low, high = min(statistics.minimum, 0.0), max(statistics.maximum, 0.0)
    return (min(low, -high), max(high, -low)) if symmetric else (low, high)
