"""What a metric is: one small record per sample, and an estimator over weighted samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgert.errors import DataError
from edgert.runtime.postprocess import Classification, Detections, Raw, Result, as_classification
from edgert_converters.data.sample import BoxLabels, Label

__all__ = [
    "Estimator",
    "Metric",
    "Record",
    "expect_array",
    "expect_boxes",
    "expect_class",
    "expect_classification",
    "expect_detections",
    "weighted_mean",
]

Record: TypeAlias = NDArray[np.float64]
"""What one sample contributes; its shape is the metric's own business, its size does not depend on the data set's."""


class Estimator(Protocol):
    """The metric as a function of how often each sample counts (the bootstrap draws such weights)."""

    def __call__(self, weights: NDArray[np.float64]) -> float:
        """Returns the metric's value for weights float64[N] (at least one is positive)."""
        ...


class Metric(Protocol):
    """One accuracy metric."""

    @property
    def name(self) -> str:
        """Its name in the recipe."""
        ...

    @property
    def unit(self) -> str:
        """What one unit of its value is called."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """False for errors."""
        ...

    @property
    def points_per_unit(self) -> float | None:
        """Turns a difference of values into the points of `max_drop`; None: in percent of the reference's value."""
        ...

    def record(self, result: Result, label: Label) -> Record:
        """Returns the record of one sample.

        Raises:
            DataError: the label or the result is not what this metric works on.
        """
        ...

    def estimator(self, records: Sequence[Record]) -> Estimator:
        """Returns the estimator over these samples."""
        ...

    def sample_values(self, records: Sequence[Record]) -> NDArray[np.float64] | None:
        """Per-sample values float64[N] where the metric is their mean, else None."""
        ...


def weighted_mean(values: NDArray[np.float64]) -> Estimator:
    """Returns the estimator of a metric that is the mean of per-sample values."""

    def estimate(weights: NDArray[np.float64]) -> float:
        return float(np.average(values, weights=weights))

    return estimate


def expect_classification(result: Result, metric: str) -> Classification:
    """Returns the result as class scores.

    Raises:
        DataError: it is something else.
    """
    classification = as_classification(result)
    if classification is None:
        raise DataError(f"metric {metric}: needs one output of class scores; name it in the recipe (metric_output)")
    return classification


def expect_class(label: Label, metric: str) -> int:
    """Returns the label as a class id.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(label, int):
        raise DataError(f"metric {metric}: labels must be class ids, got {type(label).__name__}")
    return label


def expect_detections(result: Result, metric: str) -> Detections:
    """Returns the result as detections.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(result, Detections):
        raise DataError(f"metric {metric}: needs boxes; add postprocess steps (a decoder and nms) to the recipe")
    return result


def expect_boxes(label: Label, metric: str) -> BoxLabels:
    """Returns the label as boxes.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(label, BoxLabels):
        raise DataError(f"metric {metric}: labels must be boxes, got {type(label).__name__}")
    return label


def expect_array(result: Result, metric: str) -> NDArray[np.float64]:
    """Returns the only output, without its batch axis, as float64.

    Raises:
        DataError: the result is no array, or there are several outputs.
    """
    if isinstance(result, Classification):
        return result.scores.astype(np.float64)
    if not isinstance(result, Raw) or len(result.outputs) != 1:
        raise DataError(f"metric {metric}: needs one output array; name it in the recipe (metric_output)")
    values = np.asarray(next(iter(result.outputs.values())))
    return values[0].astype(np.float64) if values.ndim > 1 and values.shape[0] == 1 else values.astype(np.float64)
