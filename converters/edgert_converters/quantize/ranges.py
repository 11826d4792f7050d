"""From statistics to the real range that an activation's integers cover.

Every range holds 0, so that zero (padding, ReLU) is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert.recipe import RangeMethod
from edgert_converters.quantize.scheme import Scheme
from edgert_converters.quantize.statistics import RunningHistogram

__all__ = ["RangeRule", "choose_params", "choose_range", "params_for_range", "symmetric_params"]

Floats: TypeAlias = NDArray[np.float64]

_LEVELS = 255
_CANDIDATES = np.linspace(0.25, 1.0, 61)
_SWEEPS = 2
_MERGED = 8
"""Bins merged for the divergence: 512 bins, at least two for each level."""


class _Cost(Protocol):
    """Cost of each candidate range (lows[i], highs[i])."""

    def __call__(self, statistics: RunningHistogram, lows: Floats, highs: Floats) -> Floats:
        """Returns one number per candidate."""
        ...


@dataclass(frozen=True, slots=True)
class RangeRule:
    """How ranges are chosen; `percentile` is for that method, in percent."""

    method: RangeMethod = RangeMethod.MSE
    percentile: float = 99.99


def choose_params(statistics: RunningHistogram, rule: RangeRule, scheme: Scheme) -> QuantParams:
    """Returns per-tensor parameters for the tensor that `statistics` describe.

    Affine int8 of the range that `rule` gives, or symmetric int8 of its larger end; symmetric int16 of everything seen,
    because a step of 16 bits is far below any noise that clipping could trade it for.

    Raises:
        ValueError: the scheme keeps activations float.
    """
    if scheme.activation is None:
        raise ValueError("float activations have no parameters")
    if scheme.activation is DType.INT16:
        return symmetric_params(*choose_range(statistics, RangeRule(RangeMethod.MIN_MAX)), scheme.activation)
    low, high = choose_range(statistics, rule)
    return symmetric_params(low, high, scheme.activation) if scheme.symmetric else params_for_range(low, high)


def params_for_range(low: float, high: float, dtype: DType = DType.INT8) -> QuantParams:
    """Returns affine parameters whose integers cover [low, high]; both ends are moved to include 0.

    A tensor that is always zero gets scale 1: any scale represents it exactly.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    smallest, largest = dtype.integer_range
    scale = np.float32((high - low) / (largest - smallest))
    if not scale >= np.finfo(np.float32).tiny:
        return QuantParams((1.0,), (smallest,), dtype)
    zero_point = int(np.clip(np.rint(smallest - low / float(scale)), smallest, largest))
    return QuantParams((float(scale),), (zero_point,), dtype)


def symmetric_params(low: float, high: float, dtype: DType) -> QuantParams:
    """Returns parameters with zero point 0 whose integers cover [low, high]; scale 1 where both are 0."""
    largest = max(abs(low), abs(high))
    scale = np.float32(largest / dtype.integer_range[1])
    return QuantParams((float(scale) if scale >= np.finfo(np.float32).tiny else 1.0,), (0,), dtype)


def choose_range(statistics: RunningHistogram, rule: RangeRule) -> tuple[float, float]:
    """Returns (low, high) by one of the methods.

    `min-max` keeps everything; `percentile` drops the share outside on each side; `mse` minimises the expected squared
    error of quantized values (Sung, Shin and Hwang, Resiliency of deep neural networks under quantization, 2015,
    arXiv:1511.06488, their L2 criterion, here for both ends); `entropy` minimises the Kullback-Leibler divergence of
    the clipped and quantized histogram (Migacz, 8-bit inference with TensorRT, GTC 2017), here for both ends and over
    512 bins.
    """
    low, high = min(statistics.minimum, 0.0), max(statistics.maximum, 0.0)
    if statistics.count == 0 or low == high:
        return low, high
    if rule.method is RangeMethod.MIN_MAX:
        return low, high
    if rule.method is RangeMethod.PERCENTILE:
        share = rule.percentile / 100.0
        return min(statistics.quantile(1.0 - share), 0.0), max(statistics.quantile(share), 0.0)
    cost = _squared_errors if rule.method is RangeMethod.MSE else _divergences
    return _search(statistics, low, high, cost)


def _search(statistics: RunningHistogram, low: float, high: float, cost: _Cost) -> tuple[float, float]:
    """Coordinate descent over both ends; an end at 0 stays there."""
    best_low, best_high = low, high
    for _ in range(_SWEEPS if low < 0.0 < high else 1):
        if high > 0.0:
            tried = high * _CANDIDATES
            best_high = float(tried[np.argmin(cost(statistics, np.full_like(tried, best_low), tried))])
        if low < 0.0:
            tried = low * _CANDIDATES
            best_low = float(tried[np.argmin(cost(statistics, tried, np.full_like(tried, best_high)))])
    return best_low, best_high


def _squared_errors(statistics: RunningHistogram, lows: Floats, highs: Floats) -> Floats:
    used = np.flatnonzero(statistics.counts)
    values, weights = statistics.centres()[used], statistics.counts[used].astype(np.float64)
    scale = ((highs - lows) / _LEVELS)[:, None]
    zero = np.rint(-lows[:, None] / scale)
    levels = np.clip(np.rint(values / scale) + zero, 0, _LEVELS)
    errors: Floats = ((levels - zero) * scale - values) ** 2 @ weights
    return errors


def _divergences(statistics: RunningHistogram, lows: Floats, highs: Floats) -> Floats:
    # finer bins hold too few elements to tell the cost of rounding from noise, and then clipping always wins
    centres = statistics.centres().reshape(-1, _MERGED).mean(axis=1)
    counts = statistics.counts.astype(np.float64).reshape(-1, _MERGED).sum(axis=1)
    return np.array([_divergence(centres, counts, low, high) for low, high in zip(lows, highs, strict=True)])


def _divergence(centres: Floats, counts: Floats, low: float, high: float) -> float:
    inside = np.flatnonzero((centres >= low) & (centres <= high))
    if inside.size == 0:
        return np.inf
    kept = counts[inside]
    clipped = kept.copy()
    clipped[0] += counts[: inside[0]].sum()
    clipped[-1] += counts[inside[-1] + 1 :].sum()
    level = np.clip(np.rint((centres[inside] - low) / ((high - low) / _LEVELS)), 0, _LEVELS).astype(np.int64)
    occupied = (kept > 0).astype(np.float64)
    mass = np.bincount(level, kept, _LEVELS + 1)
    width = np.bincount(level, occupied, _LEVELS + 1)
    # each level spreads its mass evenly over the occupied bins it stands for
    spread = np.where(occupied > 0, (mass / np.maximum(width, 1.0))[level], 0.0)
    p, q = clipped / clipped.sum(), spread / max(spread.sum(), 1.0)
    held = p > 0
    # a bin that only the clipped tail fills has q = 0: it costs as if q were one count
    return float(np.sum(p[held] * np.log(p[held] / np.maximum(q[held], 1.0 / counts.sum()))))
