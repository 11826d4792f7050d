"""How a tensor stands in integers: mantissas with power-of-two scales shared by a tensor (dfp16) or by blocks (bct)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.spec import Array

__all__ = ["FixedTensor", "Floats", "Format", "Ints", "build_format", "dequantize_tensor", "quantize_tensor"]

Ints: TypeAlias = NDArray[np.signedinteger]
Floats: TypeAlias = NDArray[np.floating]

_EXPONENT_LIMIT = 120
"""Exponents fit int8 in C; 2^120 is within float32, so quantizing and dequantizing stay finite."""


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """Width and scales of a tensor: `real = mantissa * 2^exponent`, mantissas in [-(2^(bits-1) - 1), 2^(bits-1) - 1].

    `blocks` has one entry per axis: 0 where the whole axis shares an exponent, else how many neighbours share one.
    `exponents: int16`, of the same rank, has one entry per block (1 along axes with 0).
    """

    bits: int
    blocks: tuple[int, ...]
    exponents: Ints

    def __post_init__(self) -> None:
        if self.bits not in {8, 16}:
            raise ValueError(f"a format has 8 or 16 bits, not {self.bits}")
        if self.exponents.ndim != len(self.blocks):
            raise ValueError(f"{len(self.blocks)} block lengths for exponents of rank {self.exponents.ndim}")

    @property
    def largest(self) -> int:
        """The largest mantissa; the smallest is its negative."""
        return (1 << (self.bits - 1)) - 1

    @property
    def is_uniform(self) -> bool:
        """True where one exponent serves the whole tensor."""
        return self.exponents.size == 1

    def expand(self, shape: tuple[int, ...]) -> Ints:
        """Returns the exponents as an array that broadcasts to `shape`: each axis has its size or 1."""
        result = self.exponents
        for axis, block in enumerate(self.blocks):
            if result.shape[axis] > 1:
                result = np.repeat(result, block, axis=axis).take(range(shape[axis]), axis=axis)
        return result

    def store(self, mantissas: Ints) -> FixedTensor:
        """Returns saturated mantissas in the format's own integer type; `mantissas` lie in its range already."""
        return FixedTensor(mantissas.astype(np.int8 if self.bits == 8 else np.int16), self)


@dataclass(frozen=True, slots=True, eq=False)
class FixedTensor:
    """Mantissas (int8 or int16) with their format: one exponent for all (dfp16) or one per block (bct)."""

    values: Ints
    format: Format

    @property
    def exponents(self) -> Ints:
        """The exponents, broadcastable to the values."""
        return self.format.expand(self.values.shape)


def build_format(largest: NDArray[np.float64], blocks: tuple[int, ...], bits: int, headroom: int = 0) -> Format:
    """Returns the format whose blocks hold the magnitudes `largest`, float64 with one entry per block.

    The exponent is E(max) - (bits - 2), E the exponent of the largest magnitude, so that it just fits; `headroom` bits
    are left above it. A block of zeros takes the largest exponent of its tensor: it may be silent in calibration only.

    Source: Das et al., Mixed Precision Training of Convolutional Neural Networks using Integer Operations, 2018,
    arXiv:1802.00930, section 3.1. There exponents follow each tensor at run time; here calibration fixes them, so that
    one pass over the outputs is enough.
    """
    _, binary = np.frexp(largest)
    exponents = np.clip(binary - (bits - 1) + headroom, -_EXPONENT_LIMIT, _EXPONENT_LIMIT - bits)
    used = exponents[largest > 0]
    silent = used.max() if used.size else 1 - bits
    return Format(bits, blocks, np.where(largest > 0, exponents, silent).astype(np.int16))


def quantize_tensor(x: Array, form: Format) -> FixedTensor:
    """Returns clamp(rint(x * 2^-e)): half to even, saturating; the only float operation on the way in.

    NaN becomes 0.
    """
    scaled = np.rint(np.ldexp(np.asarray(x, np.float64), -form.expand(x.shape).astype(np.int64)))
    return form.store(np.clip(np.nan_to_num(scaled, nan=0.0), -form.largest, form.largest).astype(np.int64))


def dequantize_tensor(tensor: FixedTensor) -> NDArray[np.float32]:
    """Returns mantissa * 2^exponent, exact in float32."""
    result = np.ldexp(tensor.values.astype(np.float64), tensor.exponents.astype(np.int64))
    return np.asarray(result, np.float32)
