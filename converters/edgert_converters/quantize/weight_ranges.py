"""The scale of a few weights that share one: the entry of largest magnitude, or the one with the smallest error.

Source: Nahshan, Chmiel, Baskin, Zheltonozhskii, Banner, Bronstein and Mendelson, Loss aware post-training quantization,
2019, arXiv:1911.07190: the L_p norm of the rounding error, for each layer. We take it for each channel or block, with
power 3 for channels: 2, the mean squared error, clips the large weights of convolutions too eagerly (docs/schemes.md).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SEARCHED_BITS", "search_scales", "search_shared_scales"]

SEARCHED_BITS = 4
"""Scales are searched for weights of at most so many bits: at 8 the largest magnitude is as good."""

CHANNEL_POWER = 3.0
_SHARES = np.linspace(0.35, 1.0, 66)
_AT_ONCE = 1 << 20


def search_scales(
    weight: NDArray[np.float32], axis: int | None, largest: int, power: float = CHANNEL_POWER
) -> NDArray[np.float64]:
    """Returns a scale per index of `axis` (one in all where it is None), NaN where all weights are zero.

    Args:
        weight: float weights.
        axis: the axis that has a scale per index.
        largest: largest integer of a weight; the smallest is its negative.
        power: of the error that is made small.
    """
    rows = weight.reshape(1, -1) if axis is None else np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    return search_shared_scales(rows, -largest, largest, power)


def search_shared_scales(rows: NDArray[np.float32], lowest: int, highest: int, power: float) -> NDArray[np.float64]:
    """Returns float64[R], the scale of each row of `rows`, float[R, K], with integers in [lowest, highest].

    Where there is one integer more below zero than above, the entry of largest magnitude becomes `lowest`, so a scale
    may be negative. NaN where a row is zero. The first of equally good scales on the grid of clipped shares is taken.
    """
    step = max(1, _AT_ONCE // max(1, rows.shape[1]))
    parts = [_search(rows[i : i + step], lowest, highest, power) for i in range(0, len(rows), step)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _search(rows: NDArray[np.float32], lowest: int, highest: int, power: float) -> NDArray[np.float64]:
    values = rows.astype(np.float64)
    peak = np.take_along_axis(values, np.abs(values).argmax(axis=1)[:, None], axis=1)[:, 0]
    full = np.abs(peak) / highest if -lowest == highest else peak / lowest
    safe = np.where(full == 0, 1.0, full)
    best, least = safe, np.full(len(values), np.inf)
    for share in _SHARES[::-1]:
        scale = (safe * share)[:, None]
        errors = np.abs(values - np.clip(np.rint(values / scale), lowest, highest) * scale)
        total = (errors**power).sum(axis=1)
        best, least = np.where(total < least, scale[:, 0], best), np.minimum(total, least)
    return np.where(full == 0, np.nan, best)
