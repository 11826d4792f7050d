"""A metric of the user's own: `module:function`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.errors import DataError
from edgert.runtime.postprocess import Result
from edgert_converters.data.function import import_function
from edgert_converters.data.sample import Label
from edgert_converters.metrics.metric import Estimator, Record, weighted_mean

__all__ = ["FunctionMetric", "load_function_metric"]


@dataclass(frozen=True, slots=True)
class FunctionMetric:
    """Mean over samples of ``function(result, label)``; a value of 1.0 is 100 points."""

    name: str
    function: Callable[..., object]
    higher_is_better: bool = True
    unit: str = ""
    points_per_unit: float | None = 100.0

    def record(self, result: Result, label: Label) -> Record:
        """[value]."""
        try:
            value = float(np.asarray(self.function(result, label), np.float64))
        except Exception as error:  # the user's code may raise anything; it is named and its text kept
            raise DataError(f"metric {self.name}: raised {type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise DataError(f"metric {self.name}: returned {value}; it must return a finite number")
        return np.array([value])

    def estimator(self, records: Sequence[Record]) -> Estimator:
        """The mean."""
        return weighted_mean(self.sample_values(records))

    def sample_values(self, records: Sequence[Record]) -> NDArray[np.float64]:
        """The function's values."""
        return np.concatenate(records)


def load_function_metric(spec: str) -> FunctionMetric:
    """Returns the metric `module:function`; an attribute ``higher_is_better = False`` of the function is honoured.

    Raises:
        DataError: it cannot be imported or called.
    """
    function = import_function(spec)
    if not callable(function):
        raise DataError(f"metric {spec}: is not callable")
    return FunctionMetric(spec, function, bool(getattr(function, "higher_is_better", True)))
