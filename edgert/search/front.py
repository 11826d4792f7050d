"""Pareto fronts and the hypervolume that they dominate, for any number of objectives; less is better in all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["front_ranks", "hypervolume", "nondominated"]

Floats = NDArray[np.float64]


def nondominated(values: Floats) -> NDArray[np.bool_]:
    """Returns which rows no other row is at least as good as everywhere and better somewhere; equal rows all stay.

    Args:
        values: float64[points, objectives], no NaN.
    """
    kept = np.zeros(len(values), bool)
    left = np.lexsort(values.T[::-1])  # a row is dominated only by rows before it in this order
    while left.size:
        first = values[left[0]]
        same = (values[left] == first).all(axis=1)
        kept[left[same]] = True
        left = left[~(values[left] >= first).all(axis=1)]
    return kept


def front_ranks(values: Floats) -> NDArray[np.int64]:
    """Returns 0 for rows of the front, 1 for those of the front without these, and so on.

    Source: Deb, Pratap, Agarwal, Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE
    Transactions on Evolutionary Computation 6(2), 2002, section III-A; the ranks are the same, found front by front.
    """
    ranks = np.zeros(len(values), np.int64)
    left, rank = np.arange(len(values)), 0
    while left.size:
        front = nondominated(values[left])
        ranks[left[front]] = rank
        left, rank = left[~front], rank + 1
    return ranks


def hypervolume(values: Floats, reference: Floats) -> float:
    """Returns the volume between the points and a reference point; points that are not better than it in all add none.

    Exact, sliced along the last objective: fast for two objectives, and for three or four with fronts of tens.

    Args:
        values: float64[points, objectives], no NaN.
        reference: float64[objectives].
    """
    inside = values[(values < reference).all(axis=1)]
    if not inside.size:
        return 0.0
    return _volume(inside[nondominated(inside)], reference)


def _volume(points: Floats, reference: Floats) -> float:
    if points.shape[1] == 1:
        return float(reference[0] - points.min())
    ordered = points[np.argsort(points[:, -1], kind="stable")]
    if points.shape[1] == 2:
        widths = reference[0] - np.minimum.accumulate(ordered[:, 0])
        return float(widths @ np.diff(ordered[:, 1], append=reference[1]))
    heights = np.diff(ordered[:, -1], append=reference[-1])
    return sum(
        float(height) * _volume(ordered[: count + 1, :-1], reference[:-1])
        for count, height in enumerate(heights)
        if height > 0
    )
