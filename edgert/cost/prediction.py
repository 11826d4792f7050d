"""What every predictor of cost answers: values with an interval, and how sure that interval is meant to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Prediction"]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Predicted costs of n models, in the unit of the records that the predictor learned from.

    Attributes:
        value: The middle of what is expected, float64[n].
        low: Lower end of the interval, float64[n], at least 0.
        high: Upper end of the interval, float64[n]; infinite where nothing bounds it.
        level: Share of models whose true cost is meant to lie within the interval, above 0 and below 1.
    """

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    level: float

    def __post_init__(self) -> None:
        if self.value.ndim != 1 or not self.value.shape == self.low.shape == self.high.shape:
            raise ValueError(f"shapes {self.value.shape}, {self.low.shape}, {self.high.shape}: one of (n,) is needed")
        if not 0 < self.level < 1:
            raise ValueError(f"level {self.level} is not between 0 and 1")
        is_ordered = (self.low >= 0) & (self.low <= self.value) & (self.value <= self.high) & (self.value > 0)
        is_ordered &= np.isfinite(self.value)
        if not is_ordered.all():
            row = int(np.flatnonzero(~is_ordered)[0])
            found = f"{self.low[row]} <= {self.value[row]} <= {self.high[row]}"
            raise ValueError(f"model {row}: {found} does not hold with a finite, positive value")

    def __len__(self) -> int:
        return self.value.size

    @property
    def relative_width(self) -> NDArray[np.float64]:
        """Width of the interval as a share of the value, float64[n]."""
        return (self.high - self.low) / self.value
