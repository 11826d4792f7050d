"""Few-shot transfer: the cost of every model on a new device from about ten measurements there.

Earlier devices, on which many models were measured, say which costs are likely (`transfer_prior`); the measurements
on the new device say which of them hold there (`transfer_posterior`). How wide intervals are is settled by playing each
earlier device as the new one. Which models to measure: `selection`.
docs/few-shot.md shows what it reaches on real devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgert.cost.prediction import Prediction
from edgert.cost.transfer_posterior import Posterior, fit_posterior
from edgert.cost.transfer_prior import CostPrior, EarlierDevices, Floats, as_views, pool_prior

__all__ = ["Transfer", "fit_transfer"]

_INDEPENDENCE = (0.03, 0.1, 0.3, 1.0)
"""From devices that are nearly mixtures of the earlier ones to such whose costs have nothing to do with each other."""
_MOST_JUDGED = 500
_QUANTILES = 401


@dataclass(frozen=True, slots=True, eq=False)
class Transfer:
    """A device's cost model, learned from earlier devices and a few measurements.

    Attributes:
        posterior: Costs of features on this device.
        surprises: Errors of log costs in standard deviations when each earlier device is learned from the others:
            evenly spaced quantiles, the least and the greatest among them, float64[q].
        level: Share of models whose cost is meant to lie within the interval.
        records: Hash of the records that it was learned from, or empty.
    """

    posterior: Posterior
    surprises: Floats
    level: float
    records: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"level {self.level} is not between 0 and 1")
        if self.surprises.ndim != 1 or self.surprises.size < 2 or not (np.diff(self.surprises) >= 0).all():
            raise ValueError("surprises must be 2 or more that never descend")

    def predict(self, features: ArrayLike) -> Prediction:
        """Returns the cost of n models, in the unit of the measurements.

        Args:
            features: As given for the earlier devices, [n, d] or [v, n, d].

        Raises:
            ValueError: other views or features than those learned from.
        """
        mean, deviation = self._predict_log(features)
        below, above = np.interp([(1 - self.level) / 2, (1 + self.level) / 2], *self._distribution())
        low, high = np.exp(mean + min(below, 0.0) * deviation), np.exp(mean + max(above, 0.0) * deviation)
        return Prediction(np.exp(mean), low, high, self.level)

    def predict_risk(self, features: ArrayLike, limits: ArrayLike) -> Floats:
        """Returns the probability that a measurement of each of n models exceeds each of l limits, float64[l, n].

        Of models under a limit, take the one with the most accuracy less `price * risk`, where `price` is the loss of
        accuracy that is as bad as a broken limit: at a tight limit a little risk buys much accuracy.

        Args:
            features: As given for the earlier devices, [n, d] or [v, n, d].
            limits: In the unit of the measurements, above 0, [l].

        Raises:
            ValueError: other views or features than those learned from, or limits that are not as said.
        """
        ends = np.asarray(limits, np.float64)
        if ends.ndim != 1 or not (ends > 0).all():
            raise ValueError(f"limits {limits!r}: a list of values above 0 is needed")
        mean, deviation = self._predict_log(features)
        levels, surprises = self._distribution()
        safe = np.interp((np.log(ends)[:, np.newaxis] - mean) / deviation, surprises, levels, left=0.0, right=1.0)
        return np.asarray(1 - safe, np.float64)

    def _distribution(self) -> tuple[Floats, Floats]:
        """Returns levels and the surprises that are as great or less in such a share, float64[q] each."""
        return np.linspace(0, 1, self.surprises.size), self.surprises

    def _predict_log(self, features: ArrayLike) -> tuple[Floats, Floats]:
        views, learned = as_views(features), self.posterior.measured
        if views.shape[0] != learned.shape[0] or views.shape[2] != learned.shape[2]:
            found, needed = (views.shape[0], views.shape[2] - 1), (learned.shape[0], learned.shape[2] - 1)
            raise ValueError(f"{found} views and features: the model was learned from {needed}")
        return self.posterior.predict_log(views)


def fit_transfer(
    earlier: EarlierDevices, measured: Sequence[int], values: ArrayLike, level: float = 0.9, records: str = ""
) -> Transfer:
    """Learns a new device.

    How like the earlier devices the new one is, which view it runs and how noisy it is are averaged over by how well
    they explain the measurements. The same models, measured on each earlier device in turn, foretell its other models;
    the interval is as many standard deviations wide as holds `level` of those.

    Args:
        earlier: What was learned from earlier devices.
        measured: Rows of their table that were measured on the new device, each once, 2 or more.
        values: What was measured, above 0, in any one unit.
        level: Share of models whose cost is to lie within the interval.
        records: Hash of the records behind all these values.

    Raises:
        ValueError: rows or values are not as said.

    Source: Lei et al., Distribution-Free Predictive Inference for Regression, 2018, arXiv 1604.04173, section 5.2, for
    intervals from normalized residuals; here the residuals are those of other devices, so that coverage is as good as
    the new device is like them.
    """
    rows, costs = _checked(earlier, measured, values)
    if not 0 < level < 1:
        raise ValueError(f"level {level} is not between 0 and 1")
    judged = np.setdiff1d(np.unique(np.linspace(0, len(earlier.values) - 1, _MOST_JUDGED).astype(int)), rows)
    surprises = [_surprises(earlier, device, rows, judged) for device in range(earlier.count)]
    quantiles = np.quantile(np.concatenate(surprises), np.linspace(0, 1, _QUANTILES))
    posterior = fit_posterior(_priors(earlier), earlier.views[:, rows], costs)
    return Transfer(posterior, quantiles, level, records)


def _priors(earlier: EarlierDevices) -> tuple[CostPrior, ...]:
    return tuple(pool_prior(earlier, independence) for independence in _INDEPENDENCE)


def _surprises(earlier: EarlierDevices, device: int, rows: NDArray[np.int64], judged: NDArray[np.int64]) -> Floats:
    """Returns errors of one device's log costs in standard deviations, when it is learned from the others."""
    posterior = fit_posterior(_priors(earlier.without(device)), earlier.views[:, rows], earlier.values[rows, device])
    mean, deviation = posterior.predict_log(earlier.views[:, judged])
    surprises: Floats = (np.log(earlier.values[judged, device]) - mean) / deviation
    return surprises


def _checked(earlier: EarlierDevices, measured: Sequence[int], values: ArrayLike) -> tuple[NDArray[np.int64], Floats]:
    rows, costs, models = np.asarray(measured, np.int64), np.asarray(values, np.float64), len(earlier.values)
    if rows.ndim != 1 or rows.shape != costs.shape or rows.size < 2:
        raise ValueError(f"{rows.shape} models and {costs.shape} values: as many of both, 2 or more, are needed")
    if np.unique(rows).size != rows.size or rows.min() < 0 or rows.max() >= models:
        raise ValueError(f"measured models must be rows of the earlier devices' table, 0 to {models - 1}, each once")
    if not (np.isfinite(costs).all() and (costs > 0).all()):
        raise ValueError("measured values must be finite and above 0")
    return rows, costs
