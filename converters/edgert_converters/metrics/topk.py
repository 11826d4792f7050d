"""Top-1 and top-5 accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.errors import DataError
from edgert.runtime.postprocess import Result
from edgert_converters.data.sample import Label
from edgert_converters.metrics.metric import Estimator, Record, expect_class, expect_classification, weighted_mean

__all__ = ["TOP1", "TOP5", "TopK"]


@dataclass(frozen=True, slots=True)
class TopK:
    """Percent of samples whose class is among the `k` best scores (ties: lower class id first)."""

    name: str
    k: int
    unit: str = "%"
    higher_is_better: bool = True
    points_per_unit: float | None = 1.0

    def record(self, result: Result, label: Label) -> Record:
        """[100 or 0]."""
        scores = expect_classification(result, self.name).scores
        class_id = expect_class(label, self.name)
        if not 0 <= class_id < scores.size:
            raise DataError(
                f"metric {self.name}: class {class_id} does not exist, the model knows 0..{scores.size - 1}"
            )
        if not np.isfinite(scores).all():
            return np.zeros(1)
        best = np.argsort(-scores, kind="stable")[: self.k]
        return np.array([100.0 if class_id in best else 0.0])

    def estimator(self, records: Sequence[Record]) -> Estimator:
        """The mean."""
        return weighted_mean(self.sample_values(records))

    def sample_values(self, records: Sequence[Record]) -> NDArray[np.float64]:
        """100 or 0 per sample."""
        return np.concatenate(records)


TOP1 = TopK("top1", 1)
TOP5 = TopK("top5", 5)
