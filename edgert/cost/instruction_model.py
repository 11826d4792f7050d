"""Instructions of a network on one core: what each kernel's loops take per turn, learned per family of kernels.

An emulator counts without noise, and a kernel is loops: its count is a sum of how often each turns
(`edgert.cost.board_network.TURNS`) times what a turn takes. These are fitted, never negative, in relative terms; so a
prediction holds far from what was counted, and never falls with size. What is left over says how far it may be
believed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.cost.board_network import TURNS, BoardLayer
from edgert.errors import MissingExtraError

__all__ = [
    "FEWEST_CALLS",
    "PARTS",
    "CountedNetwork",
    "Estimate",
    "Family",
    "InstructionModel",
    "fit_factors",
    "fit_instructions",
    "parts_of",
]

Array = NDArray[np.float64]

MOVES, PRODUCTS = "any that moves", "any with products"
"""Stand in for a kernel that was never counted."""
FEWEST_CALLS = 8
_FEWEST_OF_CLOSE_KIN = 16
"""Fewer calls than turns say less of a family than more calls of the whole kernel do."""
PARTS = 5
_TICK = 40.0
"""Instructions: the emulated clock counts no finer, so no smaller layer is known better."""
_WORK = TURNS.index("work")
_COARSE = 5 * _TICK
_LEAST_DEVIATION = 0.005
_GUESS_DEVIATION = 1.0


@dataclass(frozen=True, slots=True)
class CountedNetwork:
    """A network that ran: its layers, the instructions of each, and all instructions of a plain run.

    `group` names what belongs together when networks are held out: forms of one network know each other.
    """

    group: str
    layers: tuple[BoardLayer, ...]
    layer_instructions: tuple[int, ...]
    instructions: int


@dataclass(frozen=True, slots=True)
class Family:
    """Kernels that count alike: instructions per turn of each of TURNS, and the deviation of the logarithm."""

    per_turn: tuple[float, ...]
    deviation: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """A network before its interval: instructions, deviation of the logarithm, those of each layer, guesses."""

    instructions: float
    deviation: float
    each: tuple[float, ...]
    guessed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InstructionModel:
    """Predicts instructions of networks; `call` is what a run takes besides its layers."""

    families: dict[str, Family]
    call: float

    def estimate(self, layers: Sequence[BoardLayer]) -> Estimate:
        """Returns what a network is expected to execute; a layer of no known kernel is guessed, widely, and named."""
        each, deviations, guessed = [], [], []
        for layer in layers:
            name = next((name for name in layer.families if layer.is_known and name in self.families), None)
            family = self.families[name or _stand_in(layer)]
            each.append(max(float(np.dot(family.per_turn, layer.turns)), _TICK / 2))
            deviations.append(family.deviation if name else max(family.deviation, _GUESS_DEVIATION))
            if name is None:
                guessed.append(layer.name.partition(";")[0])  # fused layers carry all of their names
        total = self.call + sum(each)
        spread: dict[str, float] = {}
        for layer, count, deviation in zip(layers, each, deviations, strict=True):
            spread[layer.kernel] = spread.get(layer.kernel, 0.0) + count * deviation  # a kernel errs in one direction
        deviation = math.hypot(_LEAST_DEVIATION, *(value / total for value in spread.values()))
        return Estimate(total, deviation, tuple(each), tuple(guessed))


def fit_instructions(
    networks: Sequence[CountedNetwork], progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[InstructionModel, tuple[Estimate, ...]]:
    """Learns from counted networks; holds them out in five parts to know its own errors.

    Returns:
        The model, and what it said of each network while that was held out.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    parts = parts_of([network.group for network in networks])
    models = []
    for part in range(PARTS):
        progress(part + 1, PARTS + 1)
        models.append(_fit([network for network, own in zip(networks, parts, strict=True) if own != part]))
    held_out = tuple(models[part].estimate(network.layers) for network, part in zip(networks, parts, strict=True))
    return _fit(networks), held_out


def parts_of(groups: Sequence[str]) -> tuple[int, ...]:
    """Returns which of five parts each sample is held out with; one group is in one part."""
    names = sorted(set(groups))
    order = np.random.default_rng(0).permutation(len(names)).tolist()
    part_of = {names[place]: index % PARTS for index, place in enumerate(order)}
    return tuple(part_of[group] for group in groups)


def _fit(networks: Sequence[CountedNetwork]) -> InstructionModel:
    rows: dict[str, list[tuple[tuple[float, ...], float]]] = {}
    for network in networks:
        for layer, count in zip(network.layers, network.layer_instructions, strict=True):
            names = [name for name in layer.families if layer.is_known]
            for name in (*names, _stand_in(layer)):
                rows.setdefault(name, []).append((layer.turns, max(float(count), _TICK / 2)))
    for name in (MOVES, PRODUCTS):
        rows.setdefault(name, [pair for pairs in rows.values() for pair in pairs])
    least = dict.fromkeys((MOVES, PRODUCTS), 1)
    least |= {layer.kernel: FEWEST_CALLS for network in networks for layer in network.layers}
    kept = {name: pairs for name, pairs in rows.items() if len(pairs) >= least.get(name, _FEWEST_OF_CLOSE_KIN)}
    families = {name: _fit_family(pairs) for name, pairs in sorted(kept.items())}
    left = [network.instructions - sum(network.layer_instructions) for network in networks]
    return InstructionModel(families, max(float(np.median(left)), 0.0))


def fit_factors(figures: Array, values: Array, units: Array | None = None) -> Array:
    """Returns the factors (k,), none negative, of figures (n, k) that are best for values (n,).

    `units`, (n,), are what an error of each counts in; None: the value itself.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    try:
        from scipy.optimize import nnls
    except ImportError as error:
        raise MissingExtraError("scipy", "cost", "the cost model") from error
    scale = np.maximum(figures.max(axis=0), 1.0)
    unit = values if units is None else units
    factors: Array = nnls(figures / scale / unit[:, None], values / unit)[0] / scale
    return factors


def _stand_in(layer: BoardLayer) -> str:
    return PRODUCTS if layer.turns[_WORK] > 0 else MOVES


def _fit_family(pairs: Sequence[tuple[tuple[float, ...], float]]) -> Family:
    turns, counts = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    per_turn = fit_factors(turns, counts, np.maximum(counts, _COARSE))
    found = np.maximum(turns @ per_turn, _TICK / 2)
    room = _TICK / 2 / counts  # what a tick hides
    errors = np.maximum(np.abs(np.log(found / counts)) - room, 0.0)
    return Family(tuple(per_turn.tolist()), max(float(np.sqrt(np.mean(errors**2))), _LEAST_DEVIATION))
