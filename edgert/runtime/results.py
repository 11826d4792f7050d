"""What a model says, in the field's own types: classes, boxes, or plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Classification", "Detections", "Raw", "Result"]


@dataclass(frozen=True, slots=True)
class Classification:
    """`scores` float32[C]; `top` the best class ids, best first (int64[k]; ties: lower id first)."""

    scores: NDArray[np.float32]
    top: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Detections:
    """`boxes` xyxy float32[K, 4] in pixels of the original image, `scores` float32[K], `class_ids` int64[K]."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]

    def above(self, score: float) -> Detections:
        """Only the detections with at least that score."""
        keep = self.scores >= score
        return Detections(self.boxes[keep], self.scores[keep], self.class_ids[keep])


@dataclass(frozen=True, slots=True)
class Raw:
    """The outputs as the model gives them, by name, with the batch axis."""

    outputs: Mapping[str, NDArray[np.generic]]


Result: TypeAlias = Classification | Detections | Raw
