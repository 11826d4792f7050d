"""All that one device's records taught about its costs: latency, energy, memory, as one file.

Energy is gross: the latency times the power that the device draws while it infers. Memory is the peak of the process:
what the engine takes by itself, and what weights and activations take, with factors that are never negative.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgert.cost.factors import Scaled, fit_scaled
from edgert.cost.kernels import Kernel
from edgert.cost.latency import FEWEST_NETWORKS, Estimate, LatencyModel, MeasuredNetwork, fit_latency
from edgert.cost.model_file import read_model, write_model
from edgert.cost.prediction import Prediction

__all__ = ["SCHEMA", "Costs", "DeviceCost", "Platform", "Sample", "Sizes", "fit_device", "load_cost", "write_cost"]

SCHEMA = 4


@dataclass(frozen=True, slots=True)
class Platform:
    """What costs were measured on. Costs of one platform say nothing exact about another."""

    board: str | None
    soc: str | None
    architecture: str
    cores: int | None
    engine: str
    engine_version: str
    threads: int | None


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a network: of its weights, and of its activations where most are alive."""

    weight_bytes: int
    activation_bytes: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A network as it was measured; energy gross in mJ, memory the peak of the process, None where not measured."""

    network: MeasuredNetwork
    sizes: Sizes
    energy_mj: float | None
    peak_bytes: int | None


@dataclass(frozen=True, slots=True)
class Costs:
    """What one network is expected to cost: ms, mJ (gross), bytes; None where no record held it."""

    latency_ms: Prediction
    energy_mj: Prediction | None
    peak_bytes: Prediction | None
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class DeviceCost:
    """Predicts what networks cost on one platform.

    Attributes:
        records_sha256: SHA-256 (hex) over the SHA-256 of each record that it was learned from, and over this figure of
            an earlier device that it was learned from.
        networks: how many those were.
    """

    schema: int
    created: str
    platform: Platform
    records_sha256: str
    networks: int
    latency: LatencyModel
    power: Scaled | None = None
    memory: Scaled | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """Quantities that too few records held."""
        return tuple(name for name, model in (("energy", self.power), ("memory", self.memory)) if model is None)

    def predict(self, kernels: Sequence[Kernel], sizes: Sizes, level: float = 0.9) -> Costs:
        """Returns the costs of a network, with intervals that hold a share `level` of such networks."""
        estimate = self.latency.estimate(kernels)
        return Costs(
            self.latency.predict(estimate, level),
            self.power.predict([estimate.ms], level, estimate.deviation) if self.power else None,
            self.memory.predict(_figures(sizes), level) if self.memory else None,
            estimate,
        )


def fit_device(
    samples: Sequence[Sample],
    platform: Platform,
    *,
    created: str,
    records: Sequence[str],
    earlier: DeviceCost | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DeviceCost:
    """Learns from measured networks of one platform.

    Args:
        samples: ten or more; energy and memory are learned where at least ten have them.
        platform: of all samples.
        created: time stamp.
        records: SHA-256 (hex) of each record.
        earlier: of another device, from which latency is learned as a difference.
        progress: told steps done and all steps.

    Raises:
        ValueError: fewer than ten networks.
        MissingExtraError: scikit-learn is not installed.
    """
    networks = [sample.network for sample in samples]
    latency, held_out = fit_latency(networks, progress, earlier.latency if earlier else None)
    sources = [*records, earlier.records_sha256] if earlier else records
    digest = hashlib.sha256("\n".join(sorted(sources)).encode()).hexdigest()
    return DeviceCost(
        SCHEMA, created, platform, digest, len(samples), latency, _fit_power(samples, held_out), _fit_memory(samples)
    )


def load_cost(path: Path) -> DeviceCost:
    """Reads a file of `write_cost`.

    Raises:
        InputFileError: it cannot be read, is damaged, or is of another schema.
    """
    return read_model(DeviceCost, path, SCHEMA, "teach it again: edgert predict --learn")


def write_cost(path: Path, cost: DeviceCost) -> Path:
    """Writes JSON.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
    """
    return write_model(path, cost)


def _figures(sizes: Sizes) -> list[float]:
    return [1.0, float(sizes.weight_bytes), float(sizes.activation_bytes)]


def _fit_power(samples: Sequence[Sample], held_out: Sequence[Estimate]) -> Scaled | None:
    """From what was said of the latency of networks that were held out; None from too few."""
    known = [(sample, estimate) for sample, estimate in zip(samples, held_out, strict=True) if sample.energy_mj]
    if len(known) < FEWEST_NETWORKS:
        return None
    return fit_scaled(
        [[estimate.ms] for _, estimate in known],
        [sample.energy_mj or 0.0 for sample, _ in known],
        [sample.network.group for sample, _ in known],
        [estimate.deviation for _, estimate in known],
    )


def _fit_memory(samples: Sequence[Sample]) -> Scaled | None:
    known = [sample for sample in samples if sample.peak_bytes is not None]
    if len(known) < FEWEST_NETWORKS:
        return None
    return fit_scaled(
        [_figures(sample.sizes) for sample in known],
        [float(sample.peak_bytes or 0) for sample in known],
        [sample.network.group for sample in known],
    )
