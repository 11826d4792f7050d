"""All that counted networks taught about one microcontroller: instructions, RAM and flash of the C, as one file.

What the converter plans is exact and stays so: the arena, and the bytes of constants. Instructions, code and stack are
estimated, and only they have intervals. Instructions are those that an emulator executes, never a time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgert.cost.board_network import BoardNetwork
from edgert.cost.conformal import around, conformal_score, conformal_scores, held_out_parts
from edgert.cost.factors import Scaled, fit_scaled
from edgert.cost.instruction_model import CountedNetwork, Estimate, InstructionModel, fit_instructions
from edgert.cost.model_file import read_model, write_model
from edgert.cost.prediction import Prediction
from edgert.profiler.board_record import BoardRecord

__all__ = [
    "FEWEST_NETWORKS",
    "SCHEMA",
    "BoardCost",
    "BoardCosts",
    "BoardPlatform",
    "BoardSample",
    "Stacks",
    "fit_board",
    "load_board_cost",
    "write_board_cost",
]

SCHEMA = 1
FEWEST_NETWORKS = 10
_DEVIATION = 0.05
_REMEDY = "teach it again: edgert predict --learn"


@dataclass(frozen=True, slots=True)
class BoardPlatform:
    """What was counted on: target, core, its instruction set as kernels are chosen by, and edgert's version."""

    target: str
    core: str
    instructions: str
    edgert: str


@dataclass(frozen=True, slots=True)
class BoardSample:
    """A network and the record of its run. `group`: see `CountedNetwork`."""

    group: str
    network: BoardNetwork
    record: BoardRecord

    @property
    def counted(self) -> CountedNetwork:
        """Its instructions."""
        each = tuple(layer.instructions or 0 for layer in self.record.layers)
        return CountedNetwork(self.group, self.network.layers, each, self.record.count)


@dataclass(frozen=True, slots=True)
class Stacks:
    """Peak stack in bytes: what the deepest of a network's kernels takes; `other` for one that was never seen."""

    kernels: dict[str, int]
    other: int
    scores: tuple[float, ...] = ()

    def estimate(self, kernels: Iterable[str]) -> int:
        """Returns the bytes of a network that calls these kernels."""
        return max((self.kernels.get(name, self.other) for name in kernels), default=self.other)

    def predict(self, kernels: Iterable[str], level: float) -> Prediction:
        """Returns the bytes with their interval."""
        return around(self.estimate(kernels), _DEVIATION * conformal_score(self.scores, level), level)


@dataclass(frozen=True, slots=True)
class BoardCosts:
    """What one network is expected to cost.

    `ram_bytes` is `arena_bytes` (exact) with data, bss and stack; `flash_bytes` is `weight_bytes` (exact) with code.
    """

    instructions: Prediction
    ram_bytes: Prediction
    flash_bytes: Prediction
    arena_bytes: int
    weight_bytes: int
    stack_bytes: Prediction
    code_bytes: Prediction
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class BoardCost:
    """Predicts what networks cost on one microcontroller.

    Attributes:
        records_sha256: SHA-256 (hex) over the SHA-256 of each record that it was learned from.
        networks: how many those were.
        scores: of instructions, see `edgert.cost.conformal`.
        data_bytes: RAM of the firmware's variables.
        compiled: code of the firmware from that of model.c, where the conversion compiled it.
        counted: code of the firmware from numbers of calls and kernels.
        stacks: RAM of the stack.
    """

    schema: int
    created: str
    platform: BoardPlatform
    records_sha256: str
    networks: int
    instructions: InstructionModel
    scores: tuple[float, ...]
    data_bytes: int
    compiled: Scaled | None
    counted: Scaled
    stacks: Stacks

    def predict(self, network: BoardNetwork, level: float = 0.9) -> BoardCosts:
        """Returns the costs of a network, with intervals that hold a share `level` of such networks."""
        estimate = self.instructions.estimate(network.layers)
        width = estimate.deviation * conformal_score(self.scores, level)
        stack = self.stacks.predict(network.kernels, level)
        if self.compiled is not None and network.code_bytes is not None:
            code = self.compiled.predict(_compiled_figures(network), level)
        else:
            code = self.counted.predict(_counted_figures(network), level)
        return BoardCosts(
            around(estimate.instructions, width, level),
            _beside(network.arena_bytes + self.data_bytes, stack),
            _beside(network.weight_bytes, code),
            network.arena_bytes,
            network.weight_bytes,
            stack,
            code,
            estimate,
        )


def fit_board(
    samples: Sequence[BoardSample],
    platform: BoardPlatform,
    *,
    created: str,
    records: Sequence[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> BoardCost:
    """Learns from counted networks of one microcontroller.

    Args:
        samples: ten or more.
        platform: of all samples.
        created: time stamp.
        records: SHA-256 (hex) of each record.
        progress: told steps done and all steps.

    Raises:
        ValueError: fewer than ten networks.
        MissingExtraError: SciPy is not installed.
    """
    if len(samples) < FEWEST_NETWORKS:
        raise ValueError(f"{len(samples)} networks are too few to learn from; at least {FEWEST_NETWORKS} are needed")
    model, held_out = fit_instructions([sample.counted for sample in samples], progress)
    scores = conformal_scores(
        [sample.record.count for sample in samples],
        [estimate.instructions for estimate in held_out],
        [estimate.deviation for estimate in held_out],
    )
    known = [sample for sample in samples if sample.network.code_bytes is not None]
    return BoardCost(
        SCHEMA,
        created,
        platform,
        hashlib.sha256("\n".join(sorted(records)).encode()).hexdigest(),
        len(samples),
        model,
        scores,
        round(statistics.median(sample.record.ram_bytes.data_bss for sample in samples)),
        _fit_code(known, _compiled_figures) if len(known) >= FEWEST_NETWORKS else None,
        _fit_code(samples, _counted_figures),
        _fit_stacks(samples),
    )


def load_board_cost(path: Path) -> BoardCost:
    """Reads a file of `write_board_cost`.

    Raises:
        InputFileError: it cannot be read, is damaged, or is of another schema.
    """
    return read_model(BoardCost, path, SCHEMA, _REMEDY)


def write_board_cost(path: Path, cost: BoardCost) -> Path:
    """Writes JSON.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
    """
    return write_model(path, cost)


def _beside(exact: int, estimated: Prediction) -> Prediction:
    """A known number of bytes and an estimated one."""
    value, low, high = (exact + bytes_ for bytes_ in (estimated.value, estimated.low, estimated.high))
    return Prediction(value, low, high, estimated.level)


def _compiled_figures(network: BoardNetwork) -> tuple[float, ...]:
    return 1.0, float(len(network.layers)), float(network.code_bytes or 0)


def _counted_figures(network: BoardNetwork) -> tuple[float, ...]:
    return 1.0, float(len(network.layers)), float(len(network.kernels))


def _fit_code(samples: Sequence[BoardSample], figures: Callable[[BoardNetwork], tuple[float, ...]]) -> Scaled:
    return fit_scaled(
        [figures(sample.network) for sample in samples],
        [float(sample.record.flash_bytes.code) for sample in samples],
        [sample.group for sample in samples],
    )


def _fit_stacks(samples: Sequence[BoardSample]) -> Stacks:
    pairs = [(sample.network.kernels, sample.record.ram_bytes.stack) for sample in samples]
    held_out = [0.0] * len(pairs)
    for part in held_out_parts([sample.group for sample in samples]):
        model = _stacks([pair for place, pair in enumerate(pairs) if place not in part])
        for place in part:
            held_out[place] = float(model.estimate(pairs[place][0]))
    scores = conformal_scores([float(stack) for _, stack in pairs], held_out, [_DEVIATION] * len(pairs))
    return dataclasses.replace(_stacks(pairs), scores=scores)


def _stacks(pairs: Sequence[tuple[frozenset[str], int]]) -> Stacks:
    """No kernel takes more than the smallest stack of a network that calls it."""
    smallest: dict[str, int] = {}
    for kernels, stack in pairs:
        for name in kernels:
            smallest[name] = min(stack, smallest.get(name, stack))
    return Stacks(smallest, max(stack for _, stack in pairs))
