"""What a tensor becomes, as weights and as activations; matrix.py says who can make which."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgert.dtypes import DType

__all__ = ["INT8", "INT8X4", "INT8_PER_TENSOR", "INT8_SYMMETRIC", "INT16X8", "Granularity", "Scheme"]


class Granularity(enum.Enum):
    """What shares one weight scale."""

    TENSOR = "per-tensor"
    CHANNEL = "per-channel"
    BLOCK = "per-block"


@dataclass(frozen=True, slots=True)
class Scheme:
    """One cell.

    `weight_bits` are 8 or 4, always symmetric; `block` is the number of weights along the summed axis that share a
    scale where `granularity` is BLOCK. `activation` None keeps activations float (weight-only); `symmetric` gives int8
    activations zero point 0 (int16 ones always have it).
    """

    weight_bits: int = 8
    granularity: Granularity = Granularity.CHANNEL
    block: int | None = None
    activation: DType | None = DType.INT8
    symmetric: bool = False

    def __post_init__(self) -> None:
        if (self.block is None) == (self.granularity is Granularity.BLOCK):
            raise ValueError("a block size goes with per-block scales, and only with them")
        if self.activation not in {None, DType.INT8, DType.INT16}:
            raise ValueError(f"activations are int8, int16 or float (None), not {self.activation}")

    @property
    def largest_weight(self) -> int:
        """Largest integer of a weight; the smallest is its negative."""
        return int(2 ** (self.weight_bits - 1)) - 1


INT8 = Scheme()
"""The contract of docs/numerics.md: int8 weights per output channel, affine int8 activations."""

INT8_PER_TENSOR = Scheme(granularity=Granularity.TENSOR)
"""As INT8 with one scale for all weights of an operator."""

INT8_SYMMETRIC = Scheme(symmetric=True)
"""As INT8 with zero points of 0, which is what TensorRT takes."""

INT8X4 = Scheme(weight_bits=4)
"""As INT8 with weights in [-7, 7]."""

INT16X8 = Scheme(activation=DType.INT16)
"""Symmetric activations of 16 bits, weights of 8."""
