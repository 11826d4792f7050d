"""From a real range to scale and zero point."""

from __future__ import annotations

import numpy as np

from edgert.dtypes import DType
from edgert.quant import QuantParams

__all__ = ["params_for_range", "symmetric_params"]


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
