"""Sums of known figures with factors that are never negative, and how far off they are on what was held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.cost.conformal import around, conformal_score, conformal_scores, held_out_parts
from edgert.cost.prediction import Prediction
from edgert.errors import MissingExtraError

__all__ = ["Scaled", "fit_factors", "fit_scaled"]

Array = NDArray[np.float64]

_DEVIATION = 0.05


@dataclass(frozen=True, slots=True)
class Scaled:
    """A sum of known figures with factors, and the errors on what was held out (`edgert.cost.conformal`)."""

    factors: tuple[float, ...]
    scores: tuple[float, ...]

    def predict(self, figures: Sequence[float], level: float, deviation: float = _DEVIATION) -> Prediction:
        """Returns the sum; `deviation` is that of its logarithm, as it was when the errors were collected."""
        value = sum(factor * figure for factor, figure in zip(self.factors, figures, strict=True))
        return around(value, deviation * conformal_score(self.scores, level), level)


def fit_scaled(
    figures: Sequence[Sequence[float]],
    values: Sequence[float],
    groups: Sequence[str],
    deviations: Sequence[float] | None = None,
) -> Scaled:
    """Learns factors; holds groups out in five parts to know their errors.

    Args:
        figures: of each sample, as many as there will be factors.
        values: of each sample, all positive.
        groups: which samples know each other.
        deviations: of the logarithm of each; None: all alike.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    x, y = np.array(figures, np.float64), np.array(values, np.float64)
    held_out = np.empty(len(y))
    for part in held_out_parts(groups):
        rest = np.setdiff1d(np.arange(len(y)), part)
        held_out[part] = x[part] @ fit_factors(x[rest], y[rest])
    stated = [_DEVIATION] * len(y) if deviations is None else deviations
    return Scaled(tuple(fit_factors(x, y).tolist()), conformal_scores(y.tolist(), held_out.tolist(), stated))


def fit_factors(figures: Array, values: Array, units: Array | None = None) -> Array:
    """Returns the factors (k,), none negative, of figures (n, k) that are best for values (n,).

    `units`, (n,), are what an error of each counts in; None: the value itself.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    try:
        from scipy.optimize import nnls
    except ImportError as error:
        raise MissingExtraError("scipy", "cost", "the cost model") from error
    scale = np.maximum(figures.max(axis=0), 1.0)
    unit = values if units is None else units
    factors: Array = nnls(figures / scale / unit[:, None], values / unit)[0] / scale
    return factors
