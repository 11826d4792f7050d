"""All that one device's records taught about networks in an engine that tells nothing of its kernels, as one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import LayerRecord, Variant
from edgert.cost.architecture import FEWEST_NETWORKS, ArchitectureCost, WholeQuantity, fit_architecture
from edgert.cost.device_cost import Costs, Platform
from edgert.cost.graph_encoding import encode_network
from edgert.cost.latency import Estimate
from edgert.cost.model_file import read_model, write_model
from edgert.cost.whole_networks import samples_of
from edgert.profiler.record import Record

__all__ = ["SCHEMA", "WholeCost", "fit_whole", "load_whole_cost", "write_whole_cost"]

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class WholeCost:
    """Predicts what whole networks cost on one platform; energy and memory None where too few records held them."""

    schema: int
    latency: ArchitectureCost
    energy: ArchitectureCost | None = None
    memory: ArchitectureCost | None = None

    @property
    def platform(self) -> Platform:
        """What costs were measured on."""
        return self.latency.platform

    @property
    def created(self) -> str:
        """When it was learned."""
        return self.latency.created

    @property
    def networks(self) -> int:
        """How many networks it was learned from."""
        return self.latency.networks

    @property
    def records_sha256(self) -> str:
        """SHA-256 (hex) over the SHA-256 of each record that it was learned from."""
        return self.latency.records_sha256

    @property
    def missing(self) -> tuple[str, ...]:
        """Quantities that too few records held."""
        return tuple(name for name, model in (("energy", self.energy), ("memory", self.memory)) if model is None)

    def predict(self, layers: Sequence[LayerRecord], level: float = 0.9) -> Costs:
        """Returns the costs of a network; `kernel_ms` of its estimate are the shares of its layers."""
        ms, deviation = self.latency.estimate(layers)
        return Costs(
            self.latency.predict(layers, level),
            self.energy.predict(layers, level) if self.energy else None,
            self.memory.predict(layers, level) if self.memory else None,
            Estimate(ms, deviation, self._layer_ms(layers, ms), self.latency.unfamiliar(layers)),
        )

    def _layer_ms(self, layers: Sequence[LayerRecord], total_ms: float) -> NDArray[np.float64]:
        """The prior of each layer by itself, all together scaled to the network."""
        prior = self.latency.model.prior
        figures = np.array([encode_network([layer]).figures for layer in layers])
        each = prior.predict(figures) - prior.constant
        return np.asarray(each * total_ms / (prior.constant + each.sum()), np.float64)


def fit_whole(
    records: Sequence[Record],
    variants: Mapping[str, Variant],
    platform: Platform,
    *,
    created: str,
    records_sha256: Sequence[str],
) -> WholeCost:
    """Learns from measured networks of one platform.

    Args:
        records: of ten variants or more.
        variants: by the SHA-256 (hex) of their files.
        platform: of all records.
        created: time stamp.
        records_sha256: SHA-256 (hex) of each record.

    Raises:
        ValueError: fewer than ten networks.
        MissingExtraError: scikit-learn is not installed.
    """
    models: dict[WholeQuantity, ArchitectureCost] = {}
    for quantity in (WholeQuantity.LATENCY_MS, WholeQuantity.ENERGY_MJ, WholeQuantity.PEAK_BYTES):
        samples = samples_of(records, variants, quantity)
        if quantity is WholeQuantity.LATENCY_MS or len(samples) >= FEWEST_NETWORKS:
            models[quantity] = fit_architecture(samples, quantity, platform, created=created, records=records_sha256)
    return WholeCost(
        SCHEMA,
        models[WholeQuantity.LATENCY_MS],
        models.get(WholeQuantity.ENERGY_MJ),
        models.get(WholeQuantity.PEAK_BYTES),
    )


def load_whole_cost(path: Path) -> WholeCost:
    """Reads a file of `write_whole_cost`.

    Raises:
        InputFileError: it cannot be read, is damaged, or is of another schema.
    """
    return read_model(WholeCost, path, SCHEMA, "teach it again: edgert predict --learn --engine litert")


def write_whole_cost(path: Path, cost: WholeCost) -> Path:
    """Writes JSON.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
    """
    return write_model(path, cost)
