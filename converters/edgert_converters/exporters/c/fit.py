"""Whether generated C fits the memories of a board: FITS, TIGHT or TOO BIG, known before any board is touched."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgert.codec import JsonValue
from edgert_converters.exporters.c.code_size import CodeSize
from edgert_converters.exporters.c.network import Network
from edgert_converters.exporters.c.planner import MemoryPlan

__all__ = ["STACK_DATA_BYTES", "Fit", "Memory", "Verdict", "check_fit"]

STACK_DATA_BYTES = 1536
"""RAM that is kept for the stack and the variables of the program around a model, besides the arena."""
_TIGHT = 0.9
"""Share of a memory from which on it is called tight."""


class Verdict(enum.Enum):
    """The outcome for one memory, or for the board."""

    FITS = "FITS"
    TIGHT = "TIGHT"
    TOO_BIG = "TOO BIG"


@dataclass(frozen=True, slots=True)
class Memory:
    """What is needed of one memory, and how much there is."""

    used_bytes: int
    limit_bytes: int

    @property
    def verdict(self) -> Verdict:
        """TOO_BIG above the limit, TIGHT above nine tenths of it."""
        if self.used_bytes > self.limit_bytes:
            return Verdict.TOO_BIG
        return Verdict.TIGHT if self.used_bytes > _TIGHT * self.limit_bytes else Verdict.FITS


@dataclass(frozen=True, slots=True)
class Fit:
    """One model on one board. `peak_layer` is the one during which most of the arena is in use."""

    target: str
    constants_bytes: int
    code: CodeSize
    arena_bytes: int
    flash: Memory
    ram: Memory
    peak_layer: str

    @property
    def verdict(self) -> Verdict:
        """The worse of flash and RAM."""
        verdicts = {self.flash.verdict, self.ram.verdict}
        return next(verdict for verdict in (Verdict.TOO_BIG, Verdict.TIGHT, Verdict.FITS) if verdict in verdicts)

    @property
    def sentence(self) -> str:
        """The verdict with its figures."""
        how = "estimated" if self.code.source is None else f"measured with {self.code.source}"
        flash = (
            f"flash {_of(self.flash)}: {self.constants_bytes:,} of constants, {self.code.size_bytes:,} of code ({how})"
        )
        ram = f"RAM {_of(self.ram)}: arena {self.arena_bytes:,}, peak at layer {self.peak_layer!r}"
        return f"{self.verdict.value} on {self.target}: {flash}; {ram}, {STACK_DATA_BYTES:,} kept for stack and data"

    def to_json(self) -> JsonValue:
        """Returns the document for report.json and `--json`."""
        return {
            "target": self.target,
            "verdict": self.verdict.value,
            "flash": {
                "verdict": self.flash.verdict.value,
                "bytes": self.flash.used_bytes,
                "limit_bytes": self.flash.limit_bytes,
                "constants_bytes": self.constants_bytes,
                "code_bytes": self.code.size_bytes,
                "code_measured_with": self.code.source,
            },
            "ram": {
                "verdict": self.ram.verdict.value,
                "bytes": self.ram.used_bytes,
                "limit_bytes": self.ram.limit_bytes,
                "arena_bytes": self.arena_bytes,
                "stack_data_bytes": STACK_DATA_BYTES,
                "peak_layer": self.peak_layer,
            },
        }


def check_fit(
    target: str, network: Network, plan: MemoryPlan, code: CodeSize, *, flash_bytes: int, ram_bytes: int
) -> Fit:
    """Returns how a model fits a board.

    Args:
        target: name of the board, for the words.
        network: its constants go to flash as they are.
        plan: how large the arena is.
        code: size of the code.
        flash_bytes: there is on the board.
        ram_bytes: there is on the board, or fewer where the user allows fewer.
    """
    shared = {id(constant): constant.size_bytes for layer in network.layers for constant in layer.call.constants}
    constants = sum(shared.values())
    return Fit(
        target=target,
        constants_bytes=constants,
        code=code,
        arena_bytes=plan.arena_bytes,
        flash=Memory(constants + code.size_bytes, flash_bytes),
        ram=Memory(plan.arena_bytes + STACK_DATA_BYTES, ram_bytes),
        peak_layer=_short(network.layers[plan.peak_layer].name) if network.layers else "",
    )


def _of(memory: Memory) -> str:
    return f"{memory.used_bytes:,} of {memory.limit_bytes:,} bytes"


def _short(name: str) -> str:
    """The first of the names that a converter joined."""
    return name.partition(";")[0]
