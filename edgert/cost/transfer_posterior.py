"""What a few measurements on a new device say about the cost of every other model there, given a prior from others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from edgert.cost.transfer_prior import FREEDOM, CostPrior, Floats

__all__ = ["Component", "Posterior", "fit_posterior"]

_NOISES = np.geomspace(0.004, 0.4, 9)
_ROUNDS = 10
_COMPONENTS = 8
_FLOOR = 0.05
"""Relative errors are taken of at least this share of the device's scale."""
_LEAST = 0.01
"""No model is predicted to take less than this share of the device's scale: a sum of costs may come out below 0."""


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """One explanation of the measurements: a prior, a view and a noise level.

    Attributes:
        weight: Probability among the explanations kept.
        prior: Which prior.
        view: Which reading of the features.
        noise: Relative error of one measurement.
        scale: Cost that one unit of the prior stands for on the new device, in the unit of the values.
        variances: Variance of each measurement, outliers have more, float64[m].
    """

    weight: float
    prior: int
    view: int
    noise: float
    scale: float
    variances: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """Costs on the new device: the prior, conditioned on measurements, averaged over explanations.

    Attributes:
        priors: What the earlier devices say, if the new one is more or less like them.
        measured: Features of the measured models in each view, float64[v, m, d].
        values: What was measured, float64[m].
        components: Explanations, the most probable first.
    """

    priors: tuple[CostPrior, ...]
    measured: Floats
    values: Floats
    components: tuple[Component, ...]

    def predict_log(self, views: Floats) -> tuple[Floats, Floats]:
        """Returns mean and standard deviation of the logarithm of what would be measured, float64[n] each.

        Args:
            views: Features of n models in each view, float64[v, n, d].
        """
        mean, square = np.zeros(views.shape[1]), np.zeros(views.shape[1])
        for part in self.components:
            cost, variance = self._condition(part, views[part.view])
            relative = variance / np.maximum(cost, _FLOOR * part.scale) ** 2 + part.noise**2
            log_cost = np.log(np.maximum(cost, _LEAST * part.scale))
            mean += part.weight * log_cost
            square += part.weight * (log_cost**2 + relative)
        return mean, np.sqrt(np.maximum(square - mean**2, 1e-12))

    def _condition(self, part: Component, features: Floats) -> tuple[Floats, Floats]:
        """Returns mean and variance of the costs of models under one explanation, float64[n] each."""
        prior, measured, scale = self.priors[part.prior], self.measured[part.view], part.scale
        between = scale**2 * prior.covariance(features, measured)
        among = scale**2 * prior.covariance(measured, measured) + np.diag(part.variances)
        gain = np.linalg.solve(among, between.T).T
        mean = scale * (features @ prior.mean) + gain @ (self.values - scale * (measured @ prior.mean))
        variance = scale**2 * prior.variance(features) - (gain * between).sum(axis=1)
        return mean, np.maximum(variance, 0.0)


def fit_posterior(priors: tuple[CostPrior, ...], measured: Floats, values: Floats) -> Posterior:
    """Conditions each prior on measurements with relative errors of Student's t, for each view and noise level.

    Args:
        priors: What the earlier devices say; each is as likely beforehand.
        measured: Features of the measured models in each view, float64[v, m, d].
        values: What was measured, above 0, float64[m].
    """
    pairs = [(prior, view) for prior in range(len(priors)) for view in range(len(measured))]
    found = [item for prior, view in pairs for item in _explain(priors[prior], measured[view], values, (prior, view))]
    found.sort(key=lambda item: -item[0])
    kept = found[:_COMPONENTS]
    weights = np.exp(np.array([evidence for evidence, _ in kept]) - kept[0][0])
    weights /= weights.sum()
    parts = [replace(part, weight=float(weight)) for weight, (_, part) in zip(weights, kept, strict=True)]
    return Posterior(priors, measured, values, tuple(parts))


def _explain(prior: CostPrior, features: Floats, values: Floats, key: tuple[int, int]) -> list[tuple[float, Component]]:
    """Returns the log evidence of each noise level with its explanation; the scale is refined once."""
    expected = features @ prior.mean
    shared = prior.covariance(features, features)
    safe = np.maximum(expected, _FLOOR)
    scale = float(np.exp(np.median(np.log(values / safe))))
    evidence, _, fitted = _settle(prior, expected * scale, shared * scale**2, values, scale)
    best = fitted[np.argmax(evidence)]
    scale = float(np.exp(np.median(np.log(np.maximum(best, _FLOOR * scale) / safe))))
    evidence, variances, _ = _settle(prior, expected * scale, shared * scale**2, values, scale)
    return [
        (float(evidence[level]), Component(1.0, *key, float(noise), scale, variances[level]))
        for level, noise in enumerate(_NOISES)
    ]


def _settle(
    prior: CostPrior, expected: Floats, shared: Floats, values: Floats, scale: float
) -> tuple[Floats, Floats, Floats]:
    """Reweights measurements until outliers are found, at each of l noise levels.

    Args:
        prior: For what it says of noise.
        expected: Mean of the measured models' costs before measuring, float64[m].
        shared: Their covariance before measuring, float64[m, m].
        values: What was measured, float64[m].
        scale: Of the new device.

    Returns:
        Laplace's log evidence, float64[l], variances and fitted costs of the measurements, float64[l, m].
    """
    noise = _NOISES[:, np.newaxis]
    fitted = np.tile(expected, (_NOISES.size, 1))
    size, weight = noise * np.maximum(fitted, _FLOOR * scale), np.ones_like(fitted)
    variances, among, pull = fitted, shared, fitted
    for _ in range(_ROUNDS):
        variances = size**2 / weight
        among = shared + variances[:, np.newaxis] * np.eye(values.size)
        missed = np.broadcast_to(values - expected, fitted.shape)[..., np.newaxis]
        pull = np.asarray(np.linalg.solve(among, missed)[..., 0], np.float64)
        fitted = expected + pull @ shared
        size = noise * np.maximum(fitted, _FLOOR * scale)
        weight = (FREEDOM + 1) / (FREEDOM + ((values - fitted) / size) ** 2)
    fit = -np.log(size) - (FREEDOM + 1) / 2 * np.log1p(((values - fitted) / size) ** 2 / FREEDOM)
    volume = np.linalg.slogdet(among)[1] - np.log(variances).sum(axis=1)
    mean, deviation = prior.log_noise
    doubt = ((pull @ shared) * pull).sum(axis=1) + volume + ((np.log(_NOISES) - mean) / deviation) ** 2
    return fit.sum(axis=1) - doubt / 2, variances, fitted
