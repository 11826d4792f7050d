"""The latency of a network on one device and engine: the sum of its kernels, corrected and checked on whole networks.

A profiled run times each kernel with what the profiler itself takes; a whole network has none of that, but a call and
the kernels' effect on each other. So the sum over each family gets a factor, and each kernel of it a constant, both
learned from whole networks, with the plain sum as what they are before anything is learned. What sums of predicted
kernels are off by on networks that were held out, small ones mostly above, is a power of the sum and taken off.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.cost.conformal import around, conformal_score, conformal_scores, held_out_parts
from edgert.cost.kernel_model import ANY, KernelModel, fit_kernels
from edgert.cost.kernels import Kernel
from edgert.cost.prediction import Prediction

__all__ = ["FEWEST_NETWORKS", "Estimate", "LatencyModel", "MeasuredNetwork", "fit_latency"]

Array = NDArray[np.float64]

FEWEST_NETWORKS = 10
_CALL_MS = 0.01
_FACTOR_DEVIATION, _CONSTANT_DEVIATION_MS, _SHARED_DEVIATION_MS = 0.2, 0.001, 0.003
_RELATIVE_ERROR = 0.05
_LEAST_ERROR = 0.01
_OFFSET_DEVIATION, _POWER_DEVIATION = 0.1, 0.05
"""Of the logarithm of what sums are off by, and of its change with the logarithm of the sum, before any is known."""
_LEAST_SHARE = 0.3
"""A network takes at least so much of the plain sum of its kernels, whatever the constants say."""


@dataclass(frozen=True, slots=True)
class MeasuredNetwork:
    """A network that was profiled: its kernels, their times in the profiled run, and its latency in the plain one.

    `group` names what belongs together when networks are held out: forms of one network know each other.
    """

    group: str
    kernels: tuple[Kernel, ...]
    kernel_ms: tuple[float, ...]
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A network before its interval: ms expected, standard deviation of the logarithm, ms of each kernel, guesses."""

    ms: float
    deviation: float
    kernel_ms: Array
    guessed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """Predicts the latency of networks on one device in one engine.

    Attributes:
        kernels: the model of single kernels.
        factors: what profiled times of each family are multiplied by.
        constants_ms: what a kernel of each family takes less or more than that.
        call_ms: a network without kernels.
        relative_error: standard deviation of what no kernel explains, as a share.
        offset, power: a network takes exp(offset) * sum ** (1 + power), sum in ms.
        scores: see `edgert.cost.conformal`.
    """

    kernels: KernelModel
    factors: dict[str, float]
    constants_ms: dict[str, float]
    call_ms: float
    relative_error: float
    offset: float = 0.0
    power: float = 0.0
    scores: tuple[float, ...] = ()

    def estimate(self, kernels: Sequence[Kernel]) -> Estimate:
        """Returns what a network is expected to take."""
        times = self.kernels.predict(kernels)
        factors = np.array([self.factors.get(kernel.family, 1.0) for kernel in kernels])
        constants = np.array([self.constants_ms.get(kernel.family, self.constants_ms[ANY]) for kernel in kernels])
        each = np.maximum(factors * times.ms + constants, _LEAST_SHARE * times.ms * factors)
        total = self.call_ms + float(each.sum())
        spread = 0.0
        for name in {kernel.family for kernel in kernels}:
            own = np.array([kernel.family == name for kernel in kernels])
            spread += float((each[own] * times.deviation[own]).sum()) ** 2  # one family errs in one direction
        deviation = math.hypot(self.relative_error, math.sqrt(spread) / total)
        return _scaled(Estimate(total, deviation, each, times.guessed), self.offset, self.power)

    def predict(self, estimate: Estimate, level: float = 0.9) -> Prediction:
        """Returns the latency in ms of an estimated network, with the interval that holds a share `level` of such."""
        return around(estimate.ms, estimate.deviation * conformal_score(self.scores, level), level)


def fit_latency(
    networks: Sequence[MeasuredNetwork],
    progress: Callable[[int, int], None] = lambda done, total: None,
    earlier: LatencyModel | None = None,
) -> tuple[LatencyModel, tuple[Estimate, ...]]:
    """Learns the latency on one device and engine; holds networks out in five parts to know its own errors.

    Args:
        networks: as they were measured; ten or more.
        progress: told steps done and all steps.
        earlier: of another device, from which the new one is learned as a difference.

    Returns:
        The model, and what it said of each network while that was held out.

    Raises:
        ValueError: fewer than ten networks.
    """
    if len(networks) < FEWEST_NETWORKS:
        raise ValueError(f"{len(networks)} networks are too few to learn from; at least {FEWEST_NETWORKS} are needed")
    whole = _fit(networks, earlier=earlier)
    held_out: dict[int, Estimate] = {}
    parts = held_out_parts([network.group for network in networks])
    for part, places in enumerate(parts):
        progress(part + 1, len(parts) + 1)
        rest = [network for place, network in enumerate(networks) if place not in places]
        model = _fit(rest, whole.kernels, earlier)
        held_out |= {place: model.estimate(networks[place].kernels) for place in places}
    found = [held_out[place] for place in range(len(networks))]
    latency = [network.latency_ms for network in networks]
    offset, power = _power_law(latency, found)
    found = [_scaled(estimate, offset, power) for estimate in found]
    scores = conformal_scores(latency, [estimate.ms for estimate in found], [estimate.deviation for estimate in found])
    return dataclasses.replace(whole, offset=offset, power=power, scores=scores), tuple(found)


def _power_law(latency_ms: Sequence[float], found: Sequence[Estimate]) -> tuple[float, float]:
    """By what estimates are off, as `LatencyModel` has it; Bayesian linear regression on the logarithms."""
    design = np.array([[1.0, math.log(estimate.ms)] for estimate in found])
    units = np.array([max(estimate.deviation, _LEAST_ERROR) for estimate in found])
    wanted = np.log(np.array(latency_ms)) - design[:, 1]
    rows = np.vstack([design / units[:, None], np.diag([1 / _OFFSET_DEVIATION, 1 / _POWER_DEVIATION])])
    offset, power = np.linalg.lstsq(rows, np.concatenate([wanted / units, np.zeros(2)]), rcond=None)[0].tolist()
    return offset, power


def _scaled(estimate: Estimate, offset: float, power: float) -> Estimate:
    """The estimate with what sums are off by taken off."""
    ratio = math.exp(offset + power * math.log(estimate.ms))
    return dataclasses.replace(estimate, ms=estimate.ms * ratio, kernel_ms=estimate.kernel_ms * ratio)


def _fit(
    networks: Sequence[MeasuredNetwork], like: KernelModel | None = None, earlier: LatencyModel | None = None
) -> LatencyModel:
    profiler_ms = min(min(network.kernel_ms) for network in networks)
    kernels = fit_kernels(
        [kernel for network in networks for kernel in network.kernels],
        [ms - profiler_ms for network in networks for ms in network.kernel_ms],
        like,
        earlier.kernels if earlier else None,
    )
    names = tuple(sorted({kernel.family for network in networks for kernel in network.kernels}))
    places = {name: index for index, name in enumerate(names)}
    sums, counts = np.zeros((len(networks), len(names))), np.zeros((len(networks), len(names)))
    for row, network in enumerate(networks):
        for kernel, ms in zip(network.kernels, network.kernel_ms, strict=True):
            sums[row, places[kernel.family]] += ms - profiler_ms
            counts[row, places[kernel.family]] += 1
    latency = np.array([network.latency_ms for network in networks])
    factors, constants, shared, call_ms = _from_prior(sums, counts, latency, _prior(names, earlier))
    found = sums @ factors + counts @ (constants + shared) + call_ms
    error = float(np.sqrt(np.mean(np.log(np.maximum(found, latency / 10) / latency) ** 2)))
    factor_of, constant_of = (
        dict(zip(names, values.tolist(), strict=True)) for values in (factors, constants + shared)
    )
    return LatencyModel(kernels, factor_of, constant_of | {ANY: shared}, call_ms, max(error, _LEAST_ERROR))


def _prior(names: Sequence[str], earlier: LatencyModel | None) -> Array:
    """What factors, constants, the shared constant and the call are taken for before anything is measured."""
    if earlier is None:
        return np.array([1.0] * len(names) + [0.0] * len(names) + [0.0, _CALL_MS])
    shared = earlier.constants_ms[ANY]
    factors = [earlier.factors.get(name, 1.0) for name in names]
    return np.array(
        [*factors, *(earlier.constants_ms.get(name, shared) - shared for name in names), shared, earlier.call_ms]
    )


def _from_prior(sums: Array, counts: Array, latency: Array, prior: Array) -> tuple[Array, Array, float, float]:
    """Factors, constants, the constant that all kernels share, and the call: the most probable ones.

    Bayesian linear regression on relative errors.
    """
    size = sums.shape[1]
    together = np.column_stack([counts.sum(axis=1), np.ones(len(sums))])
    design = np.column_stack([sums, counts, together]) / latency[:, None] / _RELATIVE_ERROR
    deviation = np.repeat([_FACTOR_DEVIATION, _CONSTANT_DEVIATION_MS, _SHARED_DEVIATION_MS, 0.05], [size, size, 1, 1])
    wanted = 1 / _RELATIVE_ERROR - design @ prior
    rows = np.vstack([design * deviation, np.eye(2 * size + 2)])
    step = np.linalg.lstsq(rows, np.concatenate([wanted, np.zeros(2 * size + 2)]), rcond=None)[0]
    found: Array = np.asarray(prior + step * deviation, np.float64)
    return found[:size], found[size:-2], float(found[-2]), float(found[-1])
