"""Linear Resize of height and width in q31 mode: the integers of TensorFlow Lite's reference RESIZE_BILINEAR.

Positions and weights have 10 fractional bits, with truncating division for the positions:

    scale = (1024 * input + output / 2) / output          (align_corners: of input - 1 and output - 1)
    p = index * scale                                     (half_pixel: + scale / 2 - 512)
    y = (sum of four neighbours * weights + 2^19) / 2^20  (rounded half away from zero)

Source: tensorflow/lite/kernels/internal/reference/resize_bilinear.h, ResizeBilinearInteger (formulas, not code).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.interpolation import Resampling

__all__ = ["neighbours_q31", "resize_bilinear_q31"]

Int64 = NDArray[np.int64]

_ONE = 1 << 10


def resize_bilinear_q31(x: Int64, rows: Resampling, columns: Resampling, *, align: bool, half: bool) -> Int64:
    """Returns x[..., height, width] resized, in the same integers.

    Args:
        x: stored integers.
        rows: how the height changes.
        columns: how the width changes.
        align: align_corners.
        half: half_pixel_centers.
    """
    top, bottom, late_y = neighbours_q31(rows, align=align, half=half)
    left, right, late_x = neighbours_q31(columns, align=align, half=half)
    early_y, late_y = (_ONE - late_y)[:, None], late_y[:, None]
    above, below = np.take(x, top, axis=-2), np.take(x, bottom, axis=-2)
    total = above[..., left] * early_y * (_ONE - late_x)
    total += below[..., left] * late_y * (_ONE - late_x)
    total += above[..., right] * early_y * late_x
    total += below[..., right] * late_y * late_x
    rounded = np.where(total > 0, total + (1 << 19), total - (1 << 19))
    return _divide(rounded, 1 << 20)


def neighbours_q31(axis: Resampling, *, align: bool, half: bool) -> tuple[Int64, Int64, Int64]:
    """Returns the indices before and after each output index, and the weight of the one after."""
    source, size = (axis.source - 1, axis.size - 1) if align and axis.size > 1 else (axis.source, axis.size)
    scale = (_ONE * source + size // 2) // size
    position = np.arange(axis.size, dtype=np.int64) * scale
    if half:
        position += scale // 2 - _ONE // 2
    before = np.maximum(_divide(position, _ONE), 0)
    after = np.minimum(_divide(position + _ONE - 1, _ONE), axis.source - 1)
    return before, after, position - _ONE * before


def _divide(x: Int64, divisor: int) -> Int64:
    """Returns x / divisor cut towards zero, as C does."""
    result: Int64 = np.sign(x) * (np.abs(x) // divisor)
    return result
