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
from edgert.cost.conformal import held_out_parts
from edgert.cost.factors import fit_factors

__all__ = [
    "FEWEST_CALLS",
    "CountedNetwork",
    "Estimate",
    "Family",
    "InstructionModel",
    "fit_instructions",
]

Array = NDArray[np.float64]

MOVES, PRODUCTS = "any that moves", "any with products"
"""Stand in for a kernel that was never counted."""
FEWEST_CALLS = 8
_FEWEST_OF_CLOSE_KIN = 16
"""Fewer calls than turns say less of a family than more calls of the whole kernel do."""
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
    found: dict[int, Estimate] = {}
    parts = held_out_parts([network.group for network in networks])
    for number, part in enumerate(parts):
        progress(number + 1, len(parts) + 1)
        model = _fit([network for place, network in enumerate(networks) if place not in part])
        found |= {place: model.estimate(networks[place].layers) for place in part}
    return _fit(networks), tuple(found[place] for place in range(len(networks)))


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


def _stand_in(layer: BoardLayer) -> str:
    return PRODUCTS if layer.turns[_WORK] > 0 else MOVES


def _fit_family(pairs: Sequence[tuple[tuple[float, ...], float]]) -> Family:
    turns, counts = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    per_turn = fit_factors(turns, counts, np.maximum(counts, _COARSE))
    found = np.maximum(turns @ per_turn, _TICK / 2)
    room = _TICK / 2 / counts  # what a tick hides
    errors = np.maximum(np.abs(np.log(found / counts)) - room, 0.0)
    return Family(tuple(per_turn.tolist()), max(float(np.sqrt(np.mean(errors**2))), _LEAST_DEVIATION))
