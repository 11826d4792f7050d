"""Whether generated C fits the memories of a board: FITS, TIGHT or TOO BIG, known before any board is touched."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from edgert.codec import JsonValue, to_plain
from edgert_converters.exporters.c.code_size import CodeSize
from edgert_converters.exporters.c.ram import Choice

__all__ = ["STACK_DATA_BYTES", "CurvePoint", "Cut", "Fit", "Memory", "Verdict", "check_fit", "to_points"]

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
class Cut:
    """Layers, by name, that run in `strips` strips of rows one after the other."""

    first_layer: str
    last_layer: str
    strips: int


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A plan that the model could have: its RAM with stack and data, and the MACs that it computes more than once."""

    ram_bytes: int
    arena_bytes: int
    extra_macs: int
    cuts: tuple[Cut, ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """One model on one board. `peak_layer` is the one during which most of the arena is in use.

    `macs` are those of the model, each counted once; `extra_macs` those that strips compute again. `curve` has the
    plans that it could have, from the most RAM to the least, each with more extra work than the one before.
    """

    target: str
    constants_bytes: int
    code: CodeSize
    arena_bytes: int
    flash: Memory
    ram: Memory
    peak_layer: str
    macs: int = 0
    extra_macs: int = 0
    curve: tuple[CurvePoint, ...] = ()

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
        twice = f"; {self.extra_macs:,} of {self.macs:,} MACs computed twice" if self.extra_macs else ""
        stack = f"{STACK_DATA_BYTES:,} kept for stack and data"
        return f"{self.verdict.value} on {self.target}: {flash}; {ram}, {stack}{twice}"

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
            "macs": self.macs,
            "extra_macs": self.extra_macs,
            "curve": to_plain(self.curve),
        }


def check_fit(target: str, choice: Choice, code: CodeSize, *, flash_bytes: int, ram_bytes: int) -> Fit:
    """Returns how a model fits a board, without its curve.

    Args:
        target: name of the board, for the words.
        choice: the network, whose constants go to flash as they are, and its plan.
        code: size of the code.
        flash_bytes: there is on the board.
        ram_bytes: there is on the board, or fewer where the user allows fewer.
    """
    network, plan = choice.network, choice.plan
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
        macs=sum(layer.macs for layer in network.layers) - choice.extra_macs,
        extra_macs=choice.extra_macs,
    )


def to_points(curve: Sequence[Choice]) -> tuple[CurvePoint, ...]:
    """Returns the plans of a curve in terms of a board's RAM."""
    return tuple(
        CurvePoint(
            choice.plan.arena_bytes + STACK_DATA_BYTES,
            choice.plan.arena_bytes,
            choice.extra_macs,
            tuple(Cut(_short(cut.first_layer), _short(cut.last_layer), cut.count) for cut in choice.cuts),
        )
        for choice in curve
    )


def _of(memory: Memory) -> str:
    return f"{memory.used_bytes:,} of {memory.limit_bytes:,} bytes"


def _short(name: str) -> str:
    """The first of the names that a converter joined."""
    return name.partition(";")[0]
