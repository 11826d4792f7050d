"""What a whole network costs before any interval: a sum over its layers, corrected near networks that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import LayerRecord
from edgert.cost.additive_prior import AdditivePrior, fit_prior
from edgert.cost.graph_encoding import FEATURES, FIGURES, Encoding
from edgert.cost.layer_kinds import type_of
from edgert.cost.network_process import NetworkProcess, fit_process

__all__ = ["DescribedNetwork", "NetworkModel", "describe", "fit_networks", "operator_of"]

Array = NDArray[np.float64]

_LEAST_DEVIATION = 0.01
_GUESS_DEVIATION = 1.0
"""Standard deviation of the logarithm where all that a network moves is moved by operators that were never measured."""


@dataclass(frozen=True, slots=True)
class DescribedNetwork:
    """A network as numbers, and the bytes that each of its operators moves, by ``Conv float``, ``Add integer``, ..."""

    encoding: Encoding
    operator_bytes: dict[str, int]


@dataclass(frozen=True, slots=True)
class NetworkModel:
    """Predicts whole networks. `operators` are those that were measured, as in DescribedNetwork."""

    prior: AdditivePrior
    process: NetworkProcess
    operators: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.prior.factors) != len(FIGURES) or len(self.process.center) != len(FEATURES):
            raise ValueError("learned by another version of edgert, which describes networks in another way")

    def estimate(self, networks: Sequence[DescribedNetwork]) -> tuple[Array, Array]:
        """Returns what networks are expected to cost and the standard deviation of the logarithm, float64[n] each."""
        total = self.prior.predict(np.array([network.encoding.figures for network in networks]))
        left, deviation = self.process.predict(np.array([network.encoding.features for network in networks]))
        strange = np.array([self._strange_share(network) for network in networks])
        spread = np.hypot(np.maximum(deviation, _LEAST_DEVIATION), _GUESS_DEVIATION * np.sqrt(strange))
        return np.asarray(total * np.exp(left), np.float64), np.asarray(spread, np.float64)

    def _strange_share(self, network: DescribedNetwork) -> float:
        moved = network.operator_bytes
        return sum(size for name, size in moved.items() if name not in self.operators) / sum(moved.values())


def describe(layers: Sequence[LayerRecord], encoding: Encoding) -> DescribedNetwork:
    """Returns what the model sees of a network."""
    moved: dict[str, int] = {}
    for layer in layers:
        size = layer.activation_bytes + layer.weight_bytes
        moved[operator_of(layer)] = moved.get(operator_of(layer), 0) + max(size, 1)
    return DescribedNetwork(encoding, moved)


def operator_of(layer: LayerRecord) -> str:
    """Returns the name under which a layer's operator was measured or not."""
    return f"{layer.op} {type_of(layer)}"


def fit_networks(
    networks: Sequence[DescribedNetwork], values: Sequence[float], like: NetworkModel | None = None
) -> NetworkModel:
    """Learns from measured networks.

    Args:
        networks: of one platform.
        values: what they cost, all positive.
        like: a model of mostly the same networks, whose scales are taken over: to find them takes most of the time.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    figures = np.array([network.encoding.figures for network in networks])
    features = np.array([network.encoding.features for network in networks])
    process_before = like.process if like else None
    prior = fit_prior(figures, values)
    process = fit_process(features, np.log(np.asarray(values) / prior.predict(figures)), process_before)
    operators = tuple(sorted({name for network in networks for name in network.operator_bytes}))
    return NetworkModel(prior, process, operators)
