"""Mean squared error and peak signal-to-noise ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.errors import DataError
from edgert.runtime.postprocess import Result
from edgert_converters.data.sample import Label
from edgert_converters.metrics.metric import Estimator, Record, expect_array, weighted_mean

__all__ = ["MSE", "PSNR", "MeanSquaredError", "PeakSignalToNoise"]

_MAX_PSNR_DB = 100.0


@dataclass(frozen=True, slots=True)
class MeanSquaredError:
    """Mean over samples of the mean squared difference to the label; a drop is in percent of the reference's error."""

    name: str = "mse"
    unit: str = ""
    higher_is_better: bool = False
    points_per_unit: float | None = None

    def record(self, result: Result, label: Label) -> Record:
        """[mean squared difference]."""
        return np.array([_mean_squared(result, label, self.name)[0]])

    def estimator(self, records: Sequence[Record]) -> Estimator:
        """The mean."""
        return weighted_mean(self.sample_values(records))

    def sample_values(self, records: Sequence[Record]) -> NDArray[np.float64]:
        """The error per sample."""
        return np.concatenate(records)


@dataclass(frozen=True, slots=True)
class PeakSignalToNoise:
    """Mean over samples of 10 log10(peak^2 / MSE) in dB, peak 1 (or 255 where the label is uint8); 1 dB is 1 point."""

    name: str = "psnr"
    unit: str = "dB"
    higher_is_better: bool = True
    points_per_unit: float | None = 1.0

    def record(self, result: Result, label: Label) -> Record:
        """[dB], at most 100."""
        error, peak = _mean_squared(result, label, self.name)
        return np.array([min(_MAX_PSNR_DB, 10 * np.log10(peak**2 / error)) if error > 0 else _MAX_PSNR_DB])

    def estimator(self, records: Sequence[Record]) -> Estimator:
        """The mean."""
        return weighted_mean(self.sample_values(records))

    def sample_values(self, records: Sequence[Record]) -> NDArray[np.float64]:
        """One value in dB per sample."""
        return np.concatenate(records)


def _mean_squared(result: Result, label: Label, metric: str) -> tuple[float, float]:
    values = expect_array(result, metric)
    if not isinstance(label, (np.ndarray, int)):
        raise DataError(f"metric {metric}: labels must be arrays like the output, got {type(label).__name__}")
    target = np.asarray(label)
    if target.size != values.size:
        raise DataError(f"metric {metric}: the output has {values.size} values, the label {target.size}")
    difference = values.reshape(-1) - target.astype(np.float64).reshape(-1)
    return float(np.mean(difference**2)), 255.0 if target.dtype == np.uint8 else 1.0


MSE = MeanSquaredError()
PSNR = PeakSignalToNoise()
