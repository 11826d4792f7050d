"""F1, macro-averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.runtime.postprocess import Result
from edgert_converters.data.sample import Label
from edgert_converters.metrics.metric import Estimator, Record, expect_class, expect_classification

__all__ = ["F1", "MacroF1"]


@dataclass(frozen=True, slots=True)
class MacroF1:
    """Mean over the classes that occur (as label or answer) of 2 TP / (2 TP + FP + FN), in percent."""

    name: str = "f1"
    unit: str = "%"
    higher_is_better: bool = True
    points_per_unit: float | None = 1.0

    def record(self, result: Result, label: Label) -> Record:
        """[label, answer]."""
        top = expect_classification(result, self.name).top
        return np.array([expect_class(label, self.name), top[0]], np.float64)

    def estimator(self, records: Sequence[Record]) -> Estimator:
        """F1 from weighted counts."""
        pairs = np.stack(records).astype(np.int64)
        classes = int(pairs.max()) + 1

        def estimate(weights: NDArray[np.float64]) -> float:
            hits = np.bincount(pairs[:, 0], weights * (pairs[:, 0] == pairs[:, 1]), classes)
            labelled = np.bincount(pairs[:, 0], weights, classes)
            answered = np.bincount(pairs[:, 1], weights, classes)
            occurs = labelled + answered > 0
            return float(100 * np.mean(2 * hits[occurs] / (labelled + answered)[occurs]))

        return estimate

    def sample_values(self, records: Sequence[Record]) -> None:
        """None: F1 is no mean over samples."""


F1 = MacroF1()
