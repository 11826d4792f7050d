"""Square roots and logarithms of whole numbers, the same bits as edgert_frontend.h (docs/numerics.md)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOG_BITS", "bit_length", "coarse_log2", "log2", "log_corrections", "nearest_root", "root"]

Integers = NDArray[np.int64]

LOG_BITS = 7  # the fraction's top bits choose one of 128 stretches
_HALF_WORD = np.int64(1) << 32


def bit_length(values: Integers) -> Integers:
    """Returns the number of bits that each value, 0 or above, needs; 0 needs none."""
    high = values >> 32
    upper = np.frexp(high.astype(np.float64))[1] + 32
    lower = np.frexp((values & (_HALF_WORD - 1)).astype(np.float64))[1]
    return np.where(high > 0, upper, lower).astype(np.int64)


def root(values: Integers) -> Integers:
    """Returns the square root, rounded down; of values from 2^32 on, of their leading 31 or 32 bits.

    An even number of low bits is dropped first so that the rest fits 32 bits: relative error below 2^-15.
    """
    drop = (np.maximum(bit_length(values) - 32, 0) + 1) & ~1
    # exact: below 2^53 the root in float64 is correctly rounded, and no root of 32 bits lies that near a whole number
    roots: Integers = np.sqrt((values >> drop).astype(np.float64)).astype(np.int64)
    return roots << (drop >> 1)


def nearest_root(values: Integers) -> Integers:
    """Returns the square root of values below 2^50, rounded to nearest; 65535 where it lies between that and 65536."""
    roots = np.sqrt(values.astype(np.float64)).astype(np.int64)  # exact, as above: half an ulp never reaches the next
    above: Integers = values - roots * roots
    return np.where((above > roots) & (roots != 0xFFFF), roots + 1, roots)


def log_corrections() -> NDArray[np.uint16]:
    """Returns round(65536 (log2(1 + i / 128) - i / 128)) for i of 0 to 128."""
    count = 1 << LOG_BITS
    return np.array([round(65536 * (math.log2(1 + i / count) - i / count)) for i in range(count + 1)], np.uint16)


def log2(values: Integers) -> Integers:
    """Returns log2 of values from 1 on in 1/65536, by a straight line through each of 128 stretches of an octave."""
    return _log2(values, 16 - LOG_BITS)


def coarse_log2(values: Integers) -> Integers:
    """Returns log2 as the reference of the micro_frontend has it: within a stretch only 1/128 of the correction's rise.

    That reference shifts by 16 where a straight line needs 9; models are trained with what it gives.
    """
    return _log2(values, 16)


def _log2(values: Integers, rise_bits: int) -> Integers:
    table = log_corrections().astype(np.int64)
    exponent = bit_length(values) - 1
    fraction = ((values >> np.maximum(exponent - 16, 0)) << np.maximum(16 - exponent, 0)) & 0xFFFF
    stretch, rest = fraction >> (16 - LOG_BITS), fraction & ((1 << (16 - LOG_BITS)) - 1)
    between = ((table[stretch + 1] - table[stretch]) * rest) >> rise_bits
    logs: Integers = (exponent << 16) + fraction + table[stretch] + between
    return logs
