"""Box labels from the forms that files write them in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgert_converters.data.sample import BoxLabels

__all__ = ["boxes_from_cxcywh"]


def boxes_from_cxcywh(boxes: NDArray[np.float32], class_ids: NDArray[np.int64], height: int, width: int) -> BoxLabels:
    """Returns labels in pixels from boxes [K, 4] as centre x, centre y, width, height in 0..1 of the image."""
    half = boxes[:, 2:] / 2
    corners = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    pixels = corners * np.array([width, height, width, height], np.float32)
    return BoxLabels(pixels.astype(np.float32), class_ids, np.zeros(len(class_ids), np.bool_))
