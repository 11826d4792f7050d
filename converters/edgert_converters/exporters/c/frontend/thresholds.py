"""Whole-number features to the int8 of a model's input, by what `edgert.quant.quantize` itself says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams, quantize

__all__ = ["find_thresholds"]

_LIMIT = 1 << 22  # features and their products with the unit are whole numbers that float32 holds exactly
_NEVER, _ALWAYS = (1 << 31) - 1, -(1 << 31)


def find_thresholds(quant: QuantParams, unit: float) -> NDArray[np.int32]:
    """Returns int32[255]: for each int8 from -127 on the smallest feature that becomes it or more.

    Found by bisection, as quantize never falls: the same result for every feature, whatever float32 rounds.

    Args:
        quant: of the model's input, int8 with one scale.
        unit: what a feature of 1 is as a real number.
    """
    wanted = np.arange(-127, 128)
    low, high = np.full(255, -_LIMIT, np.int64), np.full(255, _LIMIT, np.int64)  # never reached below, reached at high
    always, never = _quantize(low, quant, unit) >= wanted, _quantize(high, quant, unit) < wanted
    while np.any(high - low > 1):
        middle = (low + high) // 2
        is_reached = _quantize(middle, quant, unit) >= wanted
        low, high = np.where(is_reached, low, middle), np.where(is_reached, middle, high)
    return np.where(always, _ALWAYS, np.where(never, _NEVER, high)).astype(np.int32)


def _quantize(features: NDArray[np.int64], quant: QuantParams, unit: float) -> NDArray[np.int64]:
    return quantize(features.astype(np.float32) * np.float32(unit), quant).astype(np.int64)
