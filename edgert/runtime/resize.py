"""Bilinear resizing in numpy with one documented formula, so that every device computes the same float32 numbers.

Output pixel `o` looks at the source position ``x = (o + 0.5) * in / out - 0.5`` (half-pixel centres). Without
antialias its two neighbours are weighted ``1 - frac`` and ``frac``; with antialias and when shrinking, a triangle of
half-width ``in / out`` source pixels around `x` is sampled and normalised to sum 1. Weights are computed in float64 and
rounded to float32; positions outside repeat the edge. Columns are done first, then rows. Taps are multiplied and added
one after another in float32 as separate operations: no fused multiply-add, no BLAS, hence the same bits everywhere.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

__all__ = ["resize_bilinear"]


def resize_bilinear(image: NDArray[np.generic], height: int, width: int, *, antialias: bool) -> NDArray[np.float32]:
    """Returns `image` ([H, W, C], any real dtype) as float32[height, width, C]; not rounded."""
    values = np.asarray(image, dtype=np.float32)
    values = _resize_axis(values, 1, width, antialias=antialias)
    return _resize_axis(values, 0, height, antialias=antialias)


def _resize_axis(values: NDArray[np.float32], axis: int, size: int, *, antialias: bool) -> NDArray[np.float32]:
    if values.shape[axis] == size:
        return values
    indices, weights = _taps(values.shape[axis], size, antialias)
    column = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    total: NDArray[np.float32] = np.take(values, indices[0], axis=axis) * weights[0].reshape(column)
    for index, weight in zip(indices[1:], weights[1:], strict=True):
        product = np.take(values, index, axis=axis)
        product *= weight.reshape(column)
        total += product
    return total


@functools.lru_cache(maxsize=64)
def _taps(source: int, size: int, antialias: bool) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Source indices and weights, both [taps, size]."""
    step = source / size
    half_width = max(1.0, step) if antialias else 1.0
    centre = (np.arange(size, dtype=np.float64) + 0.5) * step - 0.5
    first = np.floor(centre - half_width).astype(np.intp) + 1
    count = int(np.ceil(2 * half_width))
    positions = first[None, :] + np.arange(count, dtype=np.intp)[:, None]
    weights = np.maximum(0.0, 1.0 - np.abs(positions - centre) / half_width)
    if antialias:
        weights = np.where((positions >= 0) & (positions < source), weights, 0.0)
    weights /= weights.sum(axis=0)
    return np.clip(positions, 0, source - 1), weights.astype(np.float32)
