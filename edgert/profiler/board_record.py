"""The profile record of a microcontroller: instructions or cycles instead of time (docs/profile-record.md).

Instructions are counted by an emulator and are never called time; cycles are counted by hardware.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from edgert.bundle import replace_atomically
from edgert.codec import CodecError, from_plain, parse_json, to_plain
from edgert.errors import InputFileError
from edgert.profiler.record import SCHEMA, DeviceFacts, EnergyRecord, EngineRecord, ModelFacts
from edgert.profiler.record_upgrade import upgrade

__all__ = [
    "BOARD_SCHEMA",
    "BoardLayer",
    "BoardRecord",
    "FlashBytes",
    "RamBytes",
    "Spread",
    "parse_board_record",
    "write_board_record",
]

BOARD_SCHEMA = SCHEMA


@dataclass(frozen=True, slots=True)
class Spread:
    """Least and most of `runs` runs; `resolution` is what one tick of the clock stands for."""

    min: int
    max: int
    runs: int
    resolution: float


@dataclass(frozen=True, slots=True)
class BoardLayer:
    """One layer in a separate run; `instructions` or `cycles` is None, as in the record."""

    name: str
    op: str
    kernel: str
    macs: int
    instructions: int | None
    cycles: int | None


@dataclass(frozen=True, slots=True)
class RamBytes:
    """RAM of the firmware: `stack` is its peak, seen on the device; `arena` holds inputs and outputs too."""

    arena: int
    data_bss: int
    stack: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.arena + self.data_bss + self.stack


@dataclass(frozen=True, slots=True)
class FlashBytes:
    """Flash by section: `code` is the model's and the firmware's, `weights` are all constants of the model."""

    code: int
    weights: int


@dataclass(frozen=True, slots=True)
class BoardRecord:
    """One measurement of one variant on one board.

    `instructions` and `cycles` are of one inference, the median of the runs whose `spread` is given. `source` is
    `emulated` (then `instructions` are set) or `measured` (then `cycles` are). `energy` is None only with
    `energy_reason`.
    """

    schema: int
    created: str
    source: str
    model: ModelFacts
    variant: str
    device: DeviceFacts
    engine: EngineRecord
    clock_hz: int
    input: str
    seed: int
    instructions: int | None
    cycles: int | None
    spread: Spread
    ram_bytes: RamBytes
    flash_bytes: FlashBytes
    layers: tuple[BoardLayer, ...] = ()
    energy: EnergyRecord | None = None
    energy_reason: str | None = None

    def __post_init__(self) -> None:
        if (self.source, self.instructions is None, self.cycles is None) not in {
            ("emulated", False, True),
            ("measured", True, False),
        }:
            raise ValueError(f"source is {self.source!r}; emulated goes with instructions, measured with cycles")
        if self.energy is None and not self.energy_reason:
            raise ValueError("energy is null without energy_reason")

    @property
    def count(self) -> int:
        """The instructions or the cycles of one inference."""
        count = self.cycles if self.instructions is None else self.instructions
        assert count is not None
        return count


def parse_board_record(text: str | bytes, where: str = "record") -> BoardRecord:
    """Returns the record of a JSON text.

    Raises:
        InputFileError: not JSON, an unknown schema, or a field is missing or wrong.
    """
    try:
        data = parse_json(text)
    except ValueError as error:
        raise InputFileError(f"{where}: not a profile record: not valid JSON ({error})") from error
    data = upgrade(data, BOARD_SCHEMA, where)
    try:
        return from_plain(BoardRecord, data)
    except CodecError as error:
        raise InputFileError(f"{where}: not a complete profile record of a board: {error}") from error


def write_board_record(path: Path | str, record: BoardRecord) -> Path:
    """Writes a record as JSON.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
    """
    return replace_atomically(Path(path), json.dumps(to_plain(record), indent=1, allow_nan=False).encode() + b"\n")
