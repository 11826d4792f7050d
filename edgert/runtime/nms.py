"""Boxes: overlap and non-maximum suppression, in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["box_iou", "suppress"]


def box_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns intersection over union float32[A, B] of boxes xyxy a[A, 4] and b[B, 4]; empty boxes overlap nothing."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    union = _area(a)[:, None] + _area(b)[None, :] - intersection
    overlap: NDArray[np.float32] = np.where(union > 0, intersection / np.where(union > 0, union, 1), 0)
    return overlap.astype(np.float32)


def suppress(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], class_ids: NDArray[np.int64], iou_threshold: float
) -> NDArray[np.int64]:
    """Returns indices of the boxes that stay, best score first (ties: lower index first).

    Greedy, class by class: a box goes when its IoU with a better kept box of the same class is above the threshold.

    Args:
        boxes: xyxy float32[K, 4].
        scores: float32[K].
        class_ids: int64[K]; all equal: class-agnostic.
        iou_threshold: 0..1.
    """
    kept: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for class_id in np.unique(class_ids):
        members = np.flatnonzero(class_ids == class_id)
        order = members[np.argsort(-scores[members], kind="stable")]
        kept.append(_suppress_one_class(boxes, order, iou_threshold))
    indices = np.sort(np.concatenate(kept))
    return indices[np.argsort(-scores[indices], kind="stable")]


def _suppress_one_class(
    boxes: NDArray[np.float32], order: NDArray[np.int64], iou_threshold: float
) -> NDArray[np.int64]:
    kept = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[box_iou(boxes[best][None], boxes[order])[0] <= iou_threshold]
    return np.array(kept, dtype=np.int64)


def _area(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    sides: NDArray[np.float32] = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return sides[:, 0] * sides[:, 1]
