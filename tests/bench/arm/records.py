"""What one cell of the record holds."""

from __future__ import annotations

from dataclasses import dataclass

from tests.bench.arm.counts import Counts


@dataclass(frozen=True)
class Cell:
    """One file on one core. `counts` are those of the last inference, `inferences` the instructions of each."""

    core: str
    model: str
    file: str
    format: str
    counts: Counts
    inferences: tuple[int, ...]
