"""Weights in blocks as ONNX Runtime packs them: unsigned integers, zero point in the middle, 4-bit ones in pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["decode_blocks", "pack_bits", "unpack_bits"]

_NIBBLE = 4


def pack_bits(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Returns uint8[..., K], codes of `bits` (4 or 8), as uint8[..., K * bits / 8]; the first is the low nibble.

    Raises:
        ValueError: an odd number of 4-bit codes along the last axis.
    """
    if bits != _NIBBLE:
        return codes
    if codes.shape[-1] % 2:
        raise ValueError(f"{codes.shape[-1]} codes of 4 bits do not fill bytes")
    return np.asarray(codes[..., 0::2] | (codes[..., 1::2] << _NIBBLE), np.uint8)


def unpack_bits(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Returns what `pack_bits` packed."""
    if bits != _NIBBLE:
        return packed
    pairs = np.stack([packed & 15, packed >> _NIBBLE], axis=-1)
    return np.asarray(pairs.reshape(*packed.shape[:-1], -1), np.uint8)


def decode_blocks(codes: NDArray[np.uint8], scales: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Returns (code - 2^(bits - 1)) * scale in float32.

    Args:
        codes: uint8[R, blocks, block].
        scales: float32[R, blocks].
        bits: 4 or 8.
    """
    centred = codes.astype(np.float32) - np.float32(2 ** (bits - 1))
    return np.asarray(centred * scales[..., None], np.float32)
