"""Mean intersection over union of label maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.errors import DataError
from edgert.runtime.postprocess import Result
from edgert_converters.data.sample import Label
from edgert_converters.metrics.metric import Estimator, Record, expect_array

__all__ = ["MEAN_IOU", "MeanIou"]

_IGNORED = 255


@dataclass(frozen=True, slots=True)
class MeanIou:
    """Mean over the classes that occur of intersection / union of all pixels, in percent; label 255 is ignored.

    The output is class scores [C, H, W], the label a map [H, W] of class ids.
    """

    name: str = "mean_iou"
    unit: str = "%"
    higher_is_better: bool = True
    points_per_unit: float | None = 1.0

    def record(self, result: Result, label: Label) -> Record:
        """[C, 2]: intersection and union in pixels per class."""
        scores = expect_array(result, self.name)
        truth = np.asarray(label) if isinstance(label, np.ndarray) else None
        if truth is None or scores.ndim != 3 or scores.shape[1:] != truth.shape or truth.dtype.kind not in "iu":
            got = "no array" if truth is None else f"{truth.dtype}{list(truth.shape)}"
            raise DataError(
                f"metric mean_iou: scores {list(scores.shape)} need labels int[H, W] of that size, got {got}"
            )
        counted = truth != _IGNORED
        classes, answer, wanted = scores.shape[0], scores.argmax(axis=0)[counted], truth[counted].astype(np.int64)
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < classes:
            raise DataError(f"metric mean_iou: class {wanted.max()} does not exist, the model knows 0..{classes - 1}")
        both = np.bincount(wanted[answer == wanted], minlength=classes)
        union = np.bincount(wanted, minlength=classes) + np.bincount(answer, minlength=classes) - both
        return np.stack([both, union], axis=1).astype(np.float64)

    def estimator(self, records: Sequence[Record]) -> Estimator:
        """From weighted pixel counts."""
        counts = np.stack(records)

        def estimate(weights: NDArray[np.float64]) -> float:
            intersection, union = np.tensordot(weights, counts, axes=1).T
            occurs = union > 0
            return float(100 * np.mean(intersection[occurs] / union[occurs])) if occurs.any() else 0.0

        return estimate

    def sample_values(self, records: Sequence[Record]) -> None:
        """None: pixels of all samples are pooled."""


MEAN_IOU = MeanIou()
