"""All that one device's records taught about its costs: latency, energy, memory, as one file.

Energy is gross: the latency times the power that the device draws while it infers. Memory is the peak of the process:
what the engine takes by itself, and what weights and activations take, with factors that are never negative.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgert.cost.conformal import around, conformal_score, conformal_scores
from edgert.cost.kernels import Kernel
from edgert.cost.latency import Estimate, LatencyModel, MeasuredNetwork, fit_latency
from edgert.cost.model_file import read_model, write_model
from edgert.cost.prediction import Prediction

__all__ = ["SCHEMA", "Costs", "DeviceCost", "Platform", "Sample", "Sizes", "fit_device", "load_cost", "write_cost"]

SCHEMA = 2
_DEVIATION = 0.05


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
class Scaled:
    """A sum of known figures with factors, and the errors on what was held out (`edgert.cost.conformal`)."""

    factors: tuple[float, ...]
    scores: tuple[float, ...]

    def predict(self, figures: Sequence[float], level: float, deviation: float = _DEVIATION) -> Prediction:
        """Returns the sum; `deviation` is that of its logarithm, as it was when the errors were collected."""
        value = sum(factor * figure for factor, figure in zip(self.factors, figures, strict=True))
        return around(value, deviation * conformal_score(self.scores, level), level)


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
    energy = [place for place, sample in enumerate(samples) if sample.energy_mj is not None]
    power = _fit_scaled(
        [[held_out[place].ms] for place in energy],
        [samples[place].energy_mj or 0.0 for place in energy],
        [held_out[place].deviation for place in energy],
    )
    sized = [sample for sample in samples if sample.peak_bytes is not None]
    memory = _fit_scaled(
        [_figures(sample.sizes) for sample in sized],
        [float(sample.peak_bytes or 0) for sample in sized],
        [_DEVIATION] * len(sized),
    )
    return DeviceCost(SCHEMA, created, platform, digest, len(samples), latency, power, memory)


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


def _fit_scaled(figures: list[list[float]], values: list[float], deviations: list[float]) -> Scaled | None:
    """Factors that are best in relative terms and not negative; None from fewer than ten networks."""
    from scipy.optimize import nnls

    if len(values) < 10:
        return None
    x, y = np.array(figures), np.array(values)
    scale = np.maximum(x.max(axis=0), 1.0)
    held_out = np.empty(len(y))
    for part in range(5):
        rows = np.arange(len(y)) % 5 == part
        held_out[rows] = x[rows] / scale @ nnls(x[~rows] / scale / y[~rows, None], np.ones(np.sum(~rows)))[0]
    factors = nnls(x / scale / y[:, None], np.ones(len(y)))[0] / scale
    return Scaled(tuple(factors.tolist()), conformal_scores(values, held_out.tolist(), deviations))
