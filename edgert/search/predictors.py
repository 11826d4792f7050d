"""A Gaussian process that learns one quantity of candidates from few of them, and says how sure it is.

The kernel is a sum of a Matern kernel (5/2) and a linear one; every feature has a scale of its own, with a prior that
keeps it where a handful of measurements says nothing. scikit-learn's has neither priors nor the amplitude in closed
form, and its optimizer takes everything for noise now and then.

Source: Rasmussen, Williams, Gaussian Processes for Machine Learning, 2006, equations 2.25, 2.26 and 5.9; the amplitude
and the mean take the values that maximize the likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.errors import MissingExtraError

__all__ = ["Kernel", "Posterior", "condition", "fit_kernel"]

Floats = NDArray[np.float64]

_LENGTHS, _SHARES, _NOISES = (0.35, 0.7, 1.4, 2.8, 5.6), (0.0, 0.5), (1e-4, 1e-3, 1e-2, 1e-1)
_SPREAD = 1.8  # standard deviation of the prior of a feature's log scale
_NOISE_SPREAD = 2.0
_STEPS = 25
_MEAN_PRIOR = 0.1  # variance of the values' mean around 0 is 1 / this, in units of the amplitude
_ROOT5 = float(np.sqrt(5.0))


@dataclass(frozen=True, eq=False)
class Kernel:
    """How alike candidates are. `scales` of the features (squared), `share` of the linear part, and noise."""

    scales: Floats
    length: float
    share: float
    noise: float

    def __call__(self, left: Floats, right: Floats) -> Floats:
        """Returns the covariance without noise, float64[left, right]; features float64[candidates, features]."""
        inner = (left * self.scales) @ right.T / self.scales.size
        matern = _matern(_distances(left * np.sqrt(self.scales), right * np.sqrt(self.scales)) / self.length)
        return (1 - self.share) * matern + self.share * inner

    def variance(self, features: Floats) -> Floats:
        """Returns the prior variance, float64[candidates]."""
        return (1 - self.share) + self.share * (features**2 @ self.scales) / self.scales.size


@dataclass(frozen=True, eq=False)
class Posterior:
    """What a kernel and measurements say about candidates."""

    kernel: Kernel
    features: Floats
    inverse: Floats
    whitened: Floats
    mean: float
    amplitude: float
    center: float
    unit: float

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Returns the mean and the standard deviation of the quantity without noise, each float64[candidates]."""
        projected = self.kernel(features, self.features) @ self.inverse.T
        left = np.maximum(self.kernel.variance(features) - (projected**2).sum(axis=1), 1e-9)
        mean = self.mean + projected @ self.whitened
        return self.center + self.unit * mean, self.unit * np.sqrt(left * self.amplitude)


def fit_kernel(features: Floats, values: Floats) -> Kernel:
    """Returns the kernel under which values are most likely: the best of a grid, then every feature's own scale.

    Args:
        features: float64[candidates, features], each about standardized.
        values: float64[candidates], two or more.

    Raises:
        MissingExtraError: SciPy, which comes with scikit-learn, is not installed.
    """
    try:
        from scipy.optimize import minimize
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "search", "predictor-guided search") from error
    start = _best_of_grid(features, _standardized(values)[0])
    count = features.shape[1]
    task = _Likelihood(features, _standardized(values)[0], start)
    found = minimize(
        task,
        np.append(np.zeros(count), np.log(start.noise)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-8.0, 5.0)] * count + [(float(np.log(1e-5)), 0.0)],
        options={"maxiter": _STEPS},
    )
    return Kernel(np.exp(found.x[:-1]), start.length, start.share, float(np.exp(found.x[-1])))


def condition(kernel: Kernel, features: Floats, values: Floats) -> Posterior:
    """Returns what measurements say under a kernel; features float64[measured, features], values float64[measured]."""
    targets, center, unit = _standardized(values)
    covariance = kernel(features, features) + kernel.noise * np.eye(len(values))
    inverse: Floats = np.linalg.inv(np.linalg.cholesky(covariance)).astype(np.float64)
    ones, whitened = inverse.sum(axis=1), inverse @ targets
    mean = float(ones @ whitened / (ones @ ones + _MEAN_PRIOR))
    whitened = whitened - mean * ones
    return Posterior(kernel, features, inverse, whitened, mean, _amplitude(whitened @ whitened, values), center, unit)


def _standardized(values: Floats) -> tuple[Floats, float, float]:
    center, unit = float(values.mean()), float(values.std()) or 1.0
    return (values - center) / unit, center, unit


def _amplitude(squares: float, values: Floats) -> float:
    """The most likely variance, with one measurement's worth of a prior at 1."""
    return (float(squares) + 1) / (values.size + 1)


def _distances(left: Floats, right: Floats) -> Floats:
    """Root mean square distances."""
    squares = (left**2).sum(axis=1)[:, np.newaxis] + (right**2).sum(axis=1) - 2 * left @ right.T
    found: Floats = np.sqrt(np.maximum(squares, 0) / left.shape[1])
    return found


def _matern(distances: Floats) -> Floats:
    return (1 + _ROOT5 * distances + 5 / 3 * distances**2) * np.exp(-_ROOT5 * distances)


def _best_of_grid(features: Floats, targets: Floats) -> Kernel:
    """One decomposition for each length and share serves all noises."""
    scales = np.ones(features.shape[1])
    best, found = -np.inf, Kernel(scales, 1.0, 0.0, 1e-2)
    for length in _LENGTHS:
        for share in _SHARES:
            kernel = Kernel(scales, length, share, 0.0)
            eigenvalues, vectors = np.linalg.eigh(kernel(features, features))
            rotated, ones = vectors.T @ targets, vectors.sum(axis=0)
            for noise in _NOISES:
                spectrum = np.maximum(eigenvalues, 0) + noise
                mean = (ones * rotated / spectrum).sum() / ((ones**2 / spectrum).sum() + _MEAN_PRIOR)
                amplitude = _amplitude(((rotated - mean * ones) ** 2 / spectrum).sum(), targets)
                likelihood = -np.log(spectrum).sum() - (targets.size + 1) * np.log(amplitude)
                if likelihood > best:
                    best, found = likelihood, Kernel(scales, length, share, noise)
    return found


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """Minus the log of the posterior of scales and noise, and its gradient."""

    features: Floats
    targets: Floats
    start: Kernel

    def __call__(self, logarithms: Floats) -> tuple[float, Floats]:
        scales, noise = np.exp(logarithms[:-1]), float(np.exp(logarithms[-1]))
        kernel = Kernel(scales, self.start.length, self.start.share, noise)
        covariance = kernel(self.features, self.features) + noise * np.eye(self.targets.size)
        sign, determinant = np.linalg.slogdet(covariance)
        if sign <= 0:
            return 1e9, np.zeros_like(logarithms)
        inverse = np.linalg.inv(covariance)
        ones = inverse.sum(axis=1)
        rest = self.targets - (ones @ self.targets) / (ones.sum() + _MEAN_PRIOR)
        weights = inverse @ rest
        amplitude = _amplitude(rest @ weights, self.targets)
        off = (logarithms[-1] - np.log(self.start.noise)) / _NOISE_SPREAD
        prior = ((logarithms[:-1] / _SPREAD) ** 2).sum() + off**2
        value = 0.5 * (determinant + (self.targets.size + 1) * np.log(amplitude) + prior)
        slope = 0.5 * (np.outer(weights, weights) / amplitude - inverse)
        gradient = np.append(
            logarithms[:-1] / _SPREAD**2 - scales * self._scale_slope(kernel, slope),
            off / _NOISE_SPREAD - noise * np.trace(slope),
        )
        return float(value), gradient

    def _scale_slope(self, kernel: Kernel, slope: Floats) -> Floats:
        """The gradient by the squared scales, from that by the covariance."""
        x, count = self.features, self.features.shape[1]
        distances = _distances(x * np.sqrt(kernel.scales), x * np.sqrt(kernel.scales)) / kernel.length
        bend = -(5 / 6) * (1 + _ROOT5 * distances) * np.exp(-_ROOT5 * distances)
        near = slope * bend * (1 - kernel.share) / (count * kernel.length**2)
        spread: Floats = 2 * (near.sum(axis=1) @ x**2 - ((near @ x) * x).sum(axis=0))
        spread += kernel.share * (x * (slope @ x)).sum(axis=0) / count
        return spread
