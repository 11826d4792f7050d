"""What a whole network costs where nobody knows its kernels: from its table of layers and from other networks' records.

For engines that tell nothing of single layers (LiteRT above all), and for quantities that no kernel has by itself:
energy, peak memory, instructions. An additive prior (`additive_prior`), times what a Gaussian process over encodings
(`graph_encoding`, `network_process`) makes of the rest; intervals come from networks that were held out (`conformal`).
Where kernels are known, `latency` is the better model.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgert.bundle import LayerRecord
from edgert.cost.conformal import around, conformal_score, conformal_scores, held_out_parts
from edgert.cost.device_cost import Platform
from edgert.cost.graph_encoding import encode_network
from edgert.cost.model_file import read_model, write_model
from edgert.cost.network_model import DescribedNetwork, NetworkModel, describe, fit_networks, operator_of
from edgert.cost.prediction import Prediction

__all__ = [
    "FEWEST_NETWORKS",
    "SCHEMA",
    "ArchitectureCost",
    "ArchitectureSample",
    "WholeQuantity",
    "fit_architecture",
    "load_architecture",
    "write_architecture",
]

SCHEMA = 1
FEWEST_NETWORKS = 10
_FOLDS = 5


class WholeQuantity(enum.Enum):
    """What is predicted of whole networks, in the unit of its name; energy is gross."""

    LATENCY_MS = "latency_ms"
    ENERGY_MJ = "energy_mj"
    PEAK_BYTES = "peak_bytes"
    INSTRUCTIONS = "instructions"


@dataclass(frozen=True, slots=True)
class ArchitectureSample:
    """A network that was measured; `value` is in the unit of what is learned.

    `group` names what belongs together when networks are held out: forms of one network know each other.
    """

    group: str
    layers: tuple[LayerRecord, ...]
    value: float


@dataclass(frozen=True, slots=True)
class ArchitectureCost:
    """Predicts one quantity of whole networks on one platform.

    Attributes:
        records_sha256: SHA-256 (hex) over the SHA-256 of each record that it was learned from.
        networks: how many those were.
        scores: see `edgert.cost.conformal`.
    """

    schema: int
    created: str
    quantity: WholeQuantity
    platform: Platform
    records_sha256: str
    networks: int
    model: NetworkModel
    scores: tuple[float, ...]

    def predict(self, layers: Sequence[LayerRecord], level: float = 0.9) -> Prediction:
        """Returns the cost of one network, with an interval that holds a share `level` of such networks.

        Raises:
            ValueError: there are no layers.
        """
        value, deviation = self.estimate(layers)
        return around(value, deviation * conformal_score(self.scores, level), level)

    def estimate(self, layers: Sequence[LayerRecord]) -> tuple[float, float]:
        """Returns what one network is expected to cost, and the standard deviation of its logarithm.

        Raises:
            ValueError: there are no layers.
        """
        values, deviations = self.model.estimate([_described(layers)])
        return float(values[0]), float(deviations[0])

    def unfamiliar(self, layers: Sequence[LayerRecord]) -> tuple[str, ...]:
        """Returns the names of layers whose operator was never measured in their type: they widen the interval."""
        return tuple(layer.name for layer in layers if operator_of(layer) not in self.model.operators)


def fit_architecture(
    samples: Sequence[ArchitectureSample],
    quantity: WholeQuantity,
    platform: Platform,
    *,
    created: str,
    records: Sequence[str] = (),
) -> ArchitectureCost:
    """Learns one quantity from measured networks; holds groups out in five parts to know its own errors.

    Args:
        samples: ten or more, of five groups or more, of one platform.
        quantity: what their values are.
        platform: of all samples.
        created: time stamp.
        records: SHA-256 (hex) of each record.

    Raises:
        ValueError: too few networks, or a value that is not positive.
        MissingExtraError: scikit-learn is not installed.
    """
    groups = [sample.group for sample in samples]
    if len(samples) < FEWEST_NETWORKS or len(set(groups)) < _FOLDS:
        raise ValueError(
            f"{len(samples)} networks of {len(set(groups))} groups are too few to learn from; "
            f"at least {FEWEST_NETWORKS} of {_FOLDS} are needed"
        )
    values = np.array([sample.value for sample in samples])
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"{quantity.value}: {values.min():g} was given; every cost is a positive number")
    networks = [_described(sample.layers) for sample in samples]
    whole = fit_networks(networks, values.tolist())
    found, deviations = np.empty(len(values)), np.empty(len(values))
    for held in held_out_parts(groups):
        rest = np.setdiff1d(np.arange(len(values)), held)
        model = fit_networks([networks[place] for place in rest], values[rest].tolist(), whole)
        found[held], deviations[held] = model.estimate([networks[place] for place in held])
    scores = conformal_scores(values.tolist(), found.tolist(), deviations.tolist())
    digest = hashlib.sha256("\n".join(sorted(records)).encode()).hexdigest()
    return ArchitectureCost(SCHEMA, created, quantity, platform, digest, len(samples), whole, scores)


def load_architecture(path: Path) -> ArchitectureCost:
    """Reads a file of `write_architecture`.

    Raises:
        InputFileError: it cannot be read, is damaged, or is of another schema.
    """
    return read_model(ArchitectureCost, path, SCHEMA, "learn it again")


def write_architecture(path: Path, cost: ArchitectureCost) -> Path:
    """Writes JSON.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
    """
    return write_model(path, cost)


def _described(layers: Sequence[LayerRecord]) -> DescribedNetwork:
    return describe(layers, encode_network(layers))
