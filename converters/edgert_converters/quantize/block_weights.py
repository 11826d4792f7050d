"""Matrices in blocks: a scale for every few weights along the summed axis, no zero point.

4 bits follow Q4_0 of llama.cpp (ggml, quantize_row_q4_0_ref): integers in [-8, 7], the entry of largest magnitude
is -8, so a scale may be negative. We deviate in the scale, which is searched for the smallest squared error, and in
storing it as float32. 8 bits take integers in [-127, 127] and the largest magnitude. Rounding is half to even.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.packed_blocks import decode_blocks, pack_bits
from edgert_converters.quantize.weight_ranges import SEARCHED_BITS, search_shared_scales

__all__ = ["BLOCK_POWER", "BlockWeights", "quantize_blocks"]

BLOCK_POWER = 2.0
"""An output sums many blocks, so the mean squared error of each is what counts."""


@dataclass(frozen=True, slots=True)
class BlockWeights:
    """A matrix [N, K] in blocks along K.

    `codes` are uint8[N, blocks, block] around 2^(bits - 1), `scales` float32[N, blocks]. The last
    block of a row is filled with zeros where `length` K is no multiple of the block.
    """

    codes: NDArray[np.uint8]
    scales: NDArray[np.float32]
    bits: int
    length: int

    @property
    def block(self) -> int:
        """Weights that share a scale."""
        return int(self.codes.shape[2])

    @property
    def packed(self) -> NDArray[np.uint8]:
        """The codes as ONNX Runtime stores them, uint8[N, blocks, block * bits / 8]."""
        return pack_bits(self.codes, self.bits)

    def real(self) -> NDArray[np.float32]:
        """The weights that the integers stand for, float32[N, K]."""
        return decode_blocks(self.codes, self.scales, self.bits).reshape(len(self.codes), -1)[:, : self.length]


def quantize_blocks(matrix: NDArray[np.float32], bits: int, block: int) -> BlockWeights:
    """Returns a matrix in blocks.

    Args:
        matrix: float32[N, K]; K is the summed axis (of an embedding: the entries of one row).
        bits: 4 or 8.
        block: weights that share a scale.
    """
    n, length = matrix.shape
    blocks = -(-length // block)
    padded = np.zeros((n, blocks * block), np.float32)
    padded[:, :length] = matrix
    rows = padded.reshape(n * blocks, block)
    middle = 2 ** (bits - 1)
    lowest = -middle if bits <= SEARCHED_BITS else 1 - middle
    scales = _scales(rows, lowest, middle - 1, searched=bits <= SEARCHED_BITS).astype(np.float32)
    integers = np.clip(np.rint(rows / scales[:, None]), lowest, middle - 1)
    codes = (integers + middle).astype(np.uint8).reshape(n, blocks, block)
    return BlockWeights(codes, scales.reshape(n, blocks), bits, length)


def _scales(rows: NDArray[np.float32], lowest: int, highest: int, *, searched: bool) -> NDArray[np.float64]:
    """One per row; 1 where a row is zero or too small for float32."""
    if searched:
        found = search_shared_scales(rows, lowest, highest, BLOCK_POWER)
    else:
        found = np.abs(rows).max(axis=1).astype(np.float64) / highest
    tiny = float(np.finfo(np.float32).tiny)
    return np.where(np.isnan(found) | (np.abs(found) < tiny), 1.0, found)
