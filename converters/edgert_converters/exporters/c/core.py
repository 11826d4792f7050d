"""What the code generator asks of a processor core: which kernels it can run and whether it has an FPU."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Core", "Instructions"]


class Instructions(enum.Enum):
    """The instructions that kernels are written for; weights are packed in the order that those kernels read."""

    PORTABLE = "portable"
    DSP = "dsp"
    MVE = "mve"


@dataclass(frozen=True, slots=True)
class Core:
    """`name` as the compiler's -mcpu knows it; `has_fpu`: single-precision floating point in hardware."""

    name: str
    instructions: Instructions = Instructions.PORTABLE
    has_fpu: bool = True
