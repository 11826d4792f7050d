"""The scheme matrix: every cell of weights and activations, and which quantizer makes it or why it does not.

A quantizer is one line in QUANTIZERS. Its rule looks at a cell and returns None or the reason for refusing it.
"""

from __future__ import annotations

import enum
import itertools
from dataclasses import dataclass
from typing import Protocol

from edgert.dtypes import DType
from edgert.errors import UsageError
from edgert_converters.quantize.scheme import Granularity, Scheme

__all__ = [
    "BLOCKS",
    "BLOCK_SIZES",
    "CELLS",
    "DYNAMIC",
    "HALF",
    "QUANTIZERS",
    "STATIC",
    "Activation",
    "Cell",
    "Quantizer",
    "find_quantizer",
    "nearest_reason",
]

BLOCK_SIZES = (32, 64, 128)


class Activation(enum.Enum):
    """What activations become."""

    INT8 = "int8"
    UINT8 = "uint8"
    SYMMETRIC = "int8, symmetric"
    INT16 = "int16"
    FLOAT = "float"
    DYNAMIC = "dynamic"
    FLOAT16 = "float16"


_STATIC = {Activation.INT8, Activation.UINT8, Activation.SYMMETRIC, Activation.INT16}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell; `weight_bits` 16 is float16, whose `granularity` is TENSOR for want of a scale."""

    weight_bits: int
    granularity: Granularity
    activation: Activation
    block: int | None = None

    @property
    def weights(self) -> str:
        """The weights in words."""
        if self.weight_bits == 16:
            return "float16"
        place = f"blocks of {self.block}" if self.block else self.granularity.value
        return f"int{self.weight_bits} {place}"

    @property
    def scheme(self) -> Scheme:
        """What the chain is given; uint8 is an encoding of int8, and what runs decides on it last.

        Raises:
            ValueError: float16 has no scheme.
        """
        if self.weight_bits == 16:
            raise ValueError("float16 is no scheme of integers")
        activation = {Activation.FLOAT: None, Activation.DYNAMIC: None, Activation.INT16: DType.INT16}
        return Scheme(
            self.weight_bits,
            self.granularity,
            self.block,
            activation.get(self.activation, DType.INT8),
            self.activation is Activation.SYMMETRIC,
        )


class Refusal(Protocol):
    """Which cells a quantizer does not make."""

    def __call__(self, cell: Cell) -> str | None:
        """Returns the reason, or None where it makes the cell."""
        ...


@dataclass(frozen=True, slots=True)
class Quantizer:
    """One way to make cells; `calibrates` says whether it needs data."""

    name: str
    calibrates: bool
    refuse: Refusal


def _all_cells() -> tuple[Cell, ...]:
    """Returns every cell: rows of integer weights by every activation of integers or float, and float16."""
    rows: list[tuple[int, Granularity, int | None]] = [(8, Granularity.TENSOR, None)]
    rows += [(bits, Granularity.CHANNEL, None) for bits in (8, 4)]
    rows += [(bits, Granularity.BLOCK, block) for bits in (8, 4) for block in BLOCK_SIZES]
    columns = [activation for activation in Activation if activation is not Activation.FLOAT16]
    integer = [Cell(bits, kind, column, block) for (bits, kind, block), column in itertools.product(rows, columns)]
    return (*integer, Cell(16, Granularity.TENSOR, Activation.FLOAT16))


CELLS = _all_cells()


def _refuse_static(cell: Cell) -> str | None:
    if cell.weight_bits == 16:
        return "float16 weights go with float16 activations (fp16)"
    if cell.activation not in _STATIC:
        return "ranges are chosen for integer activations only"
    if cell.granularity is Granularity.BLOCK:
        return "a sum over blocks of different scales is no integer sum: blocks go with float activations"
    return None


def _refuse_blocks(cell: Cell) -> str | None:
    if cell.granularity is not Granularity.BLOCK:
        return "weights alone are quantized in blocks (int8-block32), with float activations"
    if cell.activation is not Activation.FLOAT:
        return "weights in blocks go with float activations"
    return None


def _refuse_dynamic(cell: Cell) -> str | None:
    if cell.activation is not Activation.DYNAMIC:
        return "dynamic range has activations that are quantized as they come"
    if cell.weight_bits != 8:
        return "dynamic range has 8-bit weights: tflite-runtime 2.14 has no kernels for fewer bits"
    if cell.granularity is Granularity.BLOCK:
        return "LiteRT's hybrid kernels know no blocks"
    if cell.granularity is Granularity.TENSOR:
        return "convolutions have a scale per channel at no cost (dynamic); matrices have one scale there already"
    return None


def _refuse_half(cell: Cell) -> str | None:
    return None if cell.weight_bits == 16 else "float16 has no integers"


STATIC = Quantizer("static", True, _refuse_static)
"""Integers with ranges chosen on calibration data: the chain (chain.py)."""
BLOCKS = Quantizer("weights in blocks", False, _refuse_blocks)
"""Weight-only (block_graph.py)."""
DYNAMIC = Quantizer("dynamic range", False, _refuse_dynamic)
"""weight_only.py."""
HALF = Quantizer("float16", False, _refuse_half)
"""fp16.py."""

QUANTIZERS: tuple[Quantizer, ...] = (STATIC, BLOCKS, DYNAMIC, HALF)


def find_quantizer(cell: Cell) -> Quantizer:
    """Returns the quantizer that makes a cell.

    Raises:
        UsageError: none does; gives the reason of the one that comes closest.
    """
    for quantizer in QUANTIZERS:
        if quantizer.refuse(cell) is None:
            return quantizer
    raise UsageError(f"{cell.weights} weights with {cell.activation.value} activations: {nearest_reason(cell)}")


def nearest_reason(cell: Cell) -> str:
    """Returns why the quantizer of a cell's activations does not make it; "" where it does."""
    nearest = {Activation.FLOAT: BLOCKS, Activation.DYNAMIC: DYNAMIC, Activation.FLOAT16: HALF}
    return nearest.get(cell.activation, STATIC).refuse(cell) or ""
