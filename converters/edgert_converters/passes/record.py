"""What a clean-up pass did; apart from pipeline.py so that reading a record needs no onnx_ir."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PassRecord"]


@dataclass(frozen=True, slots=True)
class PassRecord:
    """What a pass did: places changed and the largest relative error of any output after it, against the source.

    `undone` says why the pass was taken back, where it was.
    """

    name: str
    changed: int
    max_relative_error: float
    undone: str | None = None
