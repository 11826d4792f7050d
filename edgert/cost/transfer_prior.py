"""What earlier devices teach about the cost of each feature of a model, before a new device is measured.

Latency and energy are sums over a model's operations, so each device is a vector of costs, one for each feature (an
operation, an operation at a place, ...). Devices differ in these vectors; what they have in common is a mean, a few
directions in which devices differ together, and a spread of each feature's own. That is the prior for the next device.

Engines also differ in what they run: one executes operations whose output nobody reads, another removes them. Such
readings of the same models are given side by side as *views*, and each device is explained by the view that fits it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CostPrior", "EarlierDevices", "Floats", "as_views", "learn_devices", "pool_prior"]

Floats = NDArray[np.float64]

FREEDOM = 4.0
"""Degrees of freedom of Student's t for relative errors: phones give outliers in one measurement of ten."""

FLOOR = 0.03
"""Relative errors are taken of at least this share of a device's median cost: an empty model takes next to no time."""

_RIDGE, _ROUNDS, _MOST_MODELS = 1e-3, 15, 4000


@dataclass(frozen=True, slots=True, eq=False)
class EarlierDevices:
    """Devices on which all models of a table were measured.

    Attributes:
        views: Features with a last column of ones, one view or more, float64[v, n, d].
        values: Measured costs, above 0, float64[n, k].
        costs: Cost of each feature on each device, in units of the device's median, float64[k, d].
        view: The view that explains each device, int64[k].
        noise: Relative error that the features leave unexplained on each device, float64[k].
    """

    views: Floats
    values: Floats
    costs: Floats
    view: NDArray[np.int64]
    noise: Floats

    @property
    def count(self) -> int:
        """Number of devices."""
        return self.noise.size

    def without(self, device: int) -> EarlierDevices:
        """Returns all devices but one: to learn how well that one could have been foretold."""
        return replace(
            self,
            values=np.delete(self.values, device, axis=1),
            costs=np.delete(self.costs, device, axis=0),
            view=np.delete(self.view, device),
            noise=np.delete(self.noise, device),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CostPrior:
    """Normal distribution of a device's costs, in units of its scale: covariance = factors' factors + spread squared.

    Attributes:
        mean: Mean of the earlier devices' costs, float64[d].
        factors: Directions in which all costs change together, float64[r, d].
        spread: Standard deviation of each cost by itself, float64[d].
        log_noise: Mean and standard deviation of the logarithm of the relative error.
    """

    mean: Floats
    factors: Floats
    spread: Floats
    log_noise: tuple[float, float]

    def covariance(self, one: Floats, other: Floats) -> Floats:
        """Returns the covariance of the costs of models, float64[n, m], from their features [n, d] and [m, d]."""
        shared: Floats = (one @ self.factors.T) @ (other @ self.factors.T).T
        own: Floats = (one * self.spread**2) @ other.T
        return shared + own

    def variance(self, features: Floats) -> Floats:
        """Returns the diagonal of `covariance(features, features)`, float64[n]."""
        shared: Floats = ((features @ self.factors.T) ** 2).sum(axis=1)
        own: Floats = ((features * self.spread) ** 2).sum(axis=1)
        return shared + own


def as_views(features: ArrayLike) -> Floats:
    """Returns features [n, d] or [v, n, d] as views with a column of ones added, float64[v, n, d + 1].

    Raises:
        ValueError: another number of axes, or a value that is not finite.
    """
    views = np.asarray(features, np.float64)
    views = views[np.newaxis] if views.ndim == 2 else views
    if views.ndim != 3 or 0 in views.shape:
        raise ValueError(f"features of shape {np.shape(features)}: (models, features) or (views, models, features)")
    if not np.isfinite(views).all():
        raise ValueError("features must be finite")
    return np.concatenate([views, np.ones((*views.shape[:2], 1))], axis=2)


def learn_devices(features: ArrayLike, values: ArrayLike) -> EarlierDevices:
    """Learns the cost of each feature on each earlier device.

    Args:
        features: What the models consist of, of the order of 1, [n, d], or several views of it, [v, n, d].
        values: Costs of the n models on k devices, in one unit, [n, k].

    Raises:
        ValueError: shapes do not belong together, fewer than 3 devices, or a cost that is not above 0.
    """
    views, costs = as_views(features), np.asarray(values, np.float64)
    if costs.ndim != 2 or costs.shape[0] != views.shape[1]:
        raise ValueError(f"values of shape {costs.shape} for {views.shape[1]} models: (models, devices) is needed")
    if costs.shape[1] < 3:
        raise ValueError(f"{costs.shape[1]} earlier devices: 3 or more are needed to learn how devices differ")
    if not (np.isfinite(costs).all() and (costs > 0).all()):
        raise ValueError("values of earlier devices must be finite and above 0")
    rows = np.unique(np.linspace(0, len(costs) - 1, _MOST_MODELS).astype(int))
    fits = [[_fit_costs(view[rows], column[rows]) for view in views] for column in costs.T]
    best = [int(np.argmax([fit[2] for fit in of_device])) for of_device in fits]
    chosen = [of_device[view] for of_device, view in zip(fits, best, strict=True)]
    return EarlierDevices(
        views, costs, np.array([fit[0] for fit in chosen]), np.array(best), np.array([fit[1] for fit in chosen])
    )


def _fit_costs(features: Floats, values: Floats) -> tuple[Floats, float, float]:
    """Returns costs in units of the median, relative noise and mean log-likelihood (ridge, reweighted for outliers)."""
    relative = values / np.median(values)
    size = np.maximum(relative, FLOOR)
    weight = 1 / size**2
    costs: Floats = np.zeros(features.shape[1])
    noise, misfit = 1.0, np.zeros(1)
    for _ in range(_ROUNDS):
        weighted = features * weight[:, np.newaxis]
        normal = weighted.T @ features + _RIDGE * np.eye(costs.size)
        costs = np.asarray(np.linalg.solve(normal, weighted.T @ relative), np.float64)
        expected = features @ costs
        size = np.maximum(expected, FLOOR)
        error = (relative - expected) / size
        noise = max(1.4826 * float(np.median(np.abs(error))), 1e-3)
        misfit = (error / noise) ** 2
        weight = (FREEDOM + 1) / (FREEDOM + misfit) / size**2
    density = -(FREEDOM + 1) / 2 * np.log1p(misfit / FREEDOM) - np.log(noise * size)
    return costs, noise, float(density.mean())


def pool_prior(earlier: EarlierDevices, independence: float) -> CostPrior:
    """Returns the prior for a new device.

    Args:
        earlier: Two devices or more.
        independence: 0: the new device is a mixture of the earlier ones (a device embedding); 1: each feature's cost
            varies by itself. Between them the covariance is shrunk to its diagonal by this share.

    Source: Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004, for the
    shrinkage; here the share is chosen by leave-one-device-out error instead.
    """
    mean = earlier.costs.mean(axis=0)
    deviations = earlier.costs - mean
    variance = (deviations**2).sum(axis=0) / (earlier.count - 1)
    shared = np.sqrt((1 - independence) / (earlier.count - 1)) * deviations
    log_noise = np.log(earlier.noise)
    return CostPrior(
        mean,
        np.concatenate([shared, mean[np.newaxis]]),  # the mean itself as a direction: the scale is known roughly only
        np.sqrt(independence * variance + 1e-3 * variance.mean()),
        (float(log_noise.mean()), max(float(log_noise.std()), 0.7)),
    )
