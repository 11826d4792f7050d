"""Area under the ROC curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.errors import DataError
from edgert.runtime.postprocess import Result, as_classification
from edgert_converters.data.sample import Label
from edgert_converters.metrics.metric import Estimator, Record, expect_array, expect_class

__all__ = ["AUC", "Auc"]


@dataclass(frozen=True, slots=True)
class Auc:
    """Percent of (positive, negative) pairs ranked rightly, ties half; labels are 0 and 1.

    The score is the only output where it is one number, the second where there are two (non-target, target).
    """

    name: str = "auc"
    unit: str = "%"
    higher_is_better: bool = True
    points_per_unit: float | None = 1.0

    def record(self, result: Result, label: Label) -> Record:
        """[label, score]."""
        class_id = expect_class(label, self.name)
        classification = as_classification(result)
        scores = classification.scores if classification else expect_array(result, self.name).reshape(-1)
        if class_id not in {0, 1} or scores.size > 2:
            raise DataError(
                f"metric auc: needs labels 0 and 1 and one or two scores, got {class_id}, {scores.size} scores"
            )
        return np.array([class_id, scores[-1]], np.float64)

    def estimator(self, records: Sequence[Record]) -> Estimator:
        """Weighted Mann-Whitney statistic."""
        table = np.stack(records)
        is_positive = table[:, 0] == 1
        _, rank = np.unique(table[:, 1], return_inverse=True)
        levels = int(rank.max()) + 1

        def estimate(weights: NDArray[np.float64]) -> float:
            positive = np.bincount(rank, weights * is_positive, levels)
            negative = np.bincount(rank, weights * ~is_positive, levels)
            pairs = positive.sum() * negative.sum()
            below = np.cumsum(negative) - negative / 2
            return float(100 * (positive * below).sum() / pairs) if pairs else 50.0

        return estimate

    def sample_values(self, records: Sequence[Record]) -> None:
        """None: AUC is no mean over samples."""


AUC = Auc()
