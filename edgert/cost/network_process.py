"""A Gaussian process over whole networks: what a sum of layers leaves over, near the networks that were measured.

One Matern kernel (Rasmussen and Williams 2006, chapter 4.2) over groups of features, each with a weight: with a hundred
networks there is too little to learn a scale for each of two hundred features. Weights are those under which the
measurements are most likely, found group after group.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.cost.graph_encoding import GROUPS
from edgert.cost.process import fit_likeliest, new_process

__all__ = ["NetworkProcess", "fit_process"]

Array = NDArray[np.float64]

_WEIGHTS = (0.0, 2.0)
_MOST = 500
"""More networks are thinned: time grows with their cube."""
_LEAST_SPREAD = 0.05
_LENGTHS = (0.7, 50.0)


@dataclass(frozen=True)
class NetworkProcess:
    """What was learned.

    Attributes:
        features: of the networks, as in `Encoding.features`.
        left: natural logarithms of what they cost, over what the sum says.
        weights: of the groups of features.
        center: mean of each feature.
        spread: its standard deviation.
        amplitude: variance of the process.
        length: its length scale.
        noise: variance of a measurement.
    """

    features: tuple[tuple[float, ...], ...]
    left: tuple[float, ...]
    weights: dict[str, float]
    center: tuple[float, ...]
    spread: tuple[float, ...]
    amplitude: float
    length: float
    noise: float

    def predict(self, features: Array) -> tuple[Array, Array]:
        """Returns mean and standard deviation of what is left, float64[n] each; features float64[n, features]."""
        mean, deviation = self._process.predict(self._scaled(features), return_std=True)
        return mean, deviation

    def _scaled(self, features: Array) -> Array:
        return _weighted((features - np.array(self.center)) / np.array(self.spread), self.weights)

    @functools.cached_property
    def _process(self) -> Any:  # Any: untyped package
        process = new_process(self.length, self.amplitude, self.noise)
        return process.fit(self._scaled(np.array(self.features)), np.array(self.left))


def fit_process(features: Array, left: Array, like: NetworkProcess | None = None) -> NetworkProcess:
    """Learns from networks.

    Args:
        features: float64[networks, features].
        left: float64[networks].
        like: one of mostly the same networks, whose weights and scales are taken over: to find them takes long.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(left))[:_MOST])
    features, left = features[rows], left[rows]
    center, spread = features.mean(axis=0), np.maximum(features.std(axis=0), _LEAST_SPREAD)
    if like is not None:
        weights, amplitude, length, noise = like.weights, like.amplitude, like.length, like.noise
    else:
        weights, found = _most_likely((features - center) / spread, left)
        amplitude, length = float(found.k1.k1.constant_value), float(found.k1.k2.length_scale)
        noise = float(found.k2.noise_level)
    return NetworkProcess(
        tuple(map(tuple, features.tolist())), tuple(left.tolist()), weights, tuple(center.tolist()),
        tuple(spread.tolist()), amplitude, length, noise,
    )  # fmt: skip


def _most_likely(scaled: Array, left: Array) -> tuple[dict[str, float], Any]:  # Any: a kernel of an untyped package
    """Weights of the groups, one after the other, and the kernel under them."""
    weights = dict.fromkeys(GROUPS, 1.0)
    best, kernel = _fitted(scaled, left, weights)
    for group in GROUPS:
        for weight in _WEIGHTS:
            tried = weights | {group: weight}
            if tried == weights or not any(tried.values()):
                continue
            likelihood, found = _fitted(scaled, left, tried)
            if likelihood > best:
                best, kernel, weights = likelihood, found, tried
    return weights, kernel


def _fitted(scaled: Array, left: Array, weights: dict[str, float]) -> tuple[float, Any]:  # Any: untyped package
    process = fit_likeliest(new_process(2.0, lengths=_LENGTHS), _weighted(scaled, weights), left)
    return float(process.log_marginal_likelihood_value_), process.kernel_


def _weighted(scaled: Array, weights: dict[str, float]) -> Array:
    """Features whose squared distances are weighted means over each group."""
    parts = [scaled[:, place] * (weights[name] / np.sqrt(place.stop - place.start)) for name, place in GROUPS.items()]
    found: Array = np.concatenate(parts, axis=1)
    return found
