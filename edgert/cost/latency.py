"""The latency of a network on one device and engine: the sum of its kernels, corrected and checked on whole networks.

A profiled run times each kernel with what the profiler itself takes; a whole network has none of that, but a call and
the kernels' effect on each other. So the sum over each family gets a factor, and each kernel of it a constant, both
learned from whole networks, with the plain sum as what they are before anything is learned.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.cost.conformal import around, conformal_score, conformal_scores
from edgert.cost.kernel_model import KernelModel, fit_kernels
from edgert.cost.kernels import Kernel
from edgert.cost.prediction import Prediction

__all__ = ["FEWEST_NETWORKS", "Estimate", "LatencyModel", "MeasuredNetwork", "fit_latency"]

Array = NDArray[np.float64]

FEWEST_NETWORKS = 10
_FOLDS = 5
_PROFILER_MS = 0.002
"""What ONNX Runtime's profiler adds to a kernel, before anything is learned: measured on x86 and assumed elsewhere."""
_CALL_MS = 0.01
_FACTOR_DEVIATION, _CONSTANT_DEVIATION_MS = 0.2, 0.002
_RELATIVE_ERROR = 0.05
_LEAST_ERROR = 0.01
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
        scores: see `edgert.cost.conformal`.
    """

    kernels: KernelModel
    factors: dict[str, float]
    constants_ms: dict[str, float]
    call_ms: float
    relative_error: float
    scores: tuple[float, ...] = ()

    def estimate(self, kernels: Sequence[Kernel]) -> Estimate:
        """Returns what a network is expected to take."""
        times = self.kernels.predict(kernels)
        factors = np.array([self.factors.get(kernel.family, 1.0) for kernel in kernels])
        constants = np.array([self.constants_ms.get(kernel.family, -_PROFILER_MS) for kernel in kernels])
        each = np.maximum(factors * times.ms + constants, _LEAST_SHARE * times.ms * factors)
        total = self.call_ms + float(each.sum())
        spread = 0.0
        for name in {kernel.family for kernel in kernels}:
            own = np.array([kernel.family == name for kernel in kernels])
            spread += float((each[own] * times.deviation[own]).sum()) ** 2  # one family errs in one direction
        deviation = math.hypot(self.relative_error, math.sqrt(spread) / total)
        return Estimate(total, deviation, each, times.guessed)

    def predict(self, estimate: Estimate, level: float = 0.9) -> Prediction:
        """Returns the latency in ms of an estimated network, with the interval that holds a share `level` of such."""
        return around(estimate.ms, estimate.deviation * conformal_score(self.scores, level), level)


def fit_latency(
    networks: Sequence[MeasuredNetwork], progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[LatencyModel, tuple[float, ...]]:
    """Learns the latency on one device and engine; holds networks out in five parts to know its own errors.

    Returns:
        The model, and what it said in ms of each network while that was held out.

    Raises:
        ValueError: fewer than ten networks.
    """
    if len(networks) < FEWEST_NETWORKS:
        raise ValueError(f"{len(networks)} networks are too few to learn from; at least {FEWEST_NETWORKS} are needed")
    whole = _fit(networks)
    held_out: dict[int, Estimate] = {}
    for part, places in enumerate(_parts([network.group for network in networks])):
        progress(part + 1, _FOLDS + 1)
        model = _fit([network for place, network in enumerate(networks) if place not in places], whole.kernels)
        held_out |= {place: model.estimate(networks[place].kernels) for place in places}
    found = [held_out[place] for place in range(len(networks))]
    scores = conformal_scores(
        [network.latency_ms for network in networks],
        [estimate.ms for estimate in found],
        [estimate.deviation for estimate in found],
    )
    return dataclasses.replace(whole, scores=scores), tuple(estimate.ms for estimate in found)


def _parts(groups: Sequence[str]) -> list[set[int]]:
    """Places of the networks of each of five parts; one group is in one part."""
    names = sorted(set(groups))
    order = np.random.default_rng(0).permutation(len(names))
    part_of = {names[place]: index % _FOLDS for index, place in enumerate(order)}
    return [{place for place, group in enumerate(groups) if part_of[group] == part} for part in range(_FOLDS)]


def _fit(networks: Sequence[MeasuredNetwork], like: KernelModel | None = None) -> LatencyModel:
    kernels = fit_kernels(
        [kernel for network in networks for kernel in network.kernels],
        [ms for network in networks for ms in network.kernel_ms],
        like,
    )
    names = tuple(sorted({kernel.family for network in networks for kernel in network.kernels}))
    places = {name: index for index, name in enumerate(names)}
    sums, counts = np.zeros((len(networks), len(names))), np.zeros((len(networks), len(names)))
    for row, network in enumerate(networks):
        for kernel, ms in zip(network.kernels, network.kernel_ms, strict=True):
            sums[row, places[kernel.family]] += ms
            counts[row, places[kernel.family]] += 1
    latency = np.array([network.latency_ms for network in networks])
    solution = _from_prior(sums, counts, latency)
    factors, constants, call_ms = solution[: len(names)], solution[len(names) : -1], float(solution[-1])
    found = sums @ factors + counts @ constants + call_ms
    error = float(np.sqrt(np.mean(np.log(np.maximum(found, latency / 10) / latency) ** 2)))
    factor_of, constant_of = (dict(zip(names, values.tolist(), strict=True)) for values in (factors, constants))
    return LatencyModel(kernels, factor_of, constant_of, call_ms, max(error, _LEAST_ERROR))


def _from_prior(sums: Array, counts: Array, latency: Array) -> Array:
    """Factors, constants and the call: the most probable ones (Bayesian linear regression on relative errors)."""
    size = sums.shape[1]
    design = np.column_stack([sums, counts, np.ones(len(sums))]) / latency[:, None] / _RELATIVE_ERROR
    prior = np.concatenate([np.ones(size), np.full(size, -_PROFILER_MS), [_CALL_MS]])
    deviation = np.concatenate([np.full(size, _FACTOR_DEVIATION), np.full(size, _CONSTANT_DEVIATION_MS), [0.05]])
    wanted = 1 / _RELATIVE_ERROR - design @ prior
    rows = np.vstack([design * deviation, np.eye(2 * size + 1)])
    step = np.linalg.lstsq(rows, np.concatenate([wanted, np.zeros(2 * size + 1)]), rcond=None)[0]
    found: Array = np.asarray(prior + step * deviation, np.float64)
    return found
