"""Integer arithmetic that both families share: rounding shifts, saturation, alignment of exponents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgert_converters.fixed_point.formats import FixedTensor, Format, Ints

__all__ = ["align_over", "bit_length", "divide_even", "rescale", "shift_right_even", "to_format"]

_MAX_SHIFT = 62


def shift_right_even(values: Ints, shift: Ints | int) -> NDArray[np.int64]:
    """Returns values / 2^shift rounded half to even, int64; shift in [0, 62], cannot overflow."""
    wide = values.astype(np.int64)
    by = np.asarray(shift, np.int64)
    half = (np.int64(1) << by) >> 1
    # half - 1, one more for an odd quotient: exactly half then goes to the even neighbour
    up = ((wide >> by) & 1) + (half - 1)
    return np.asarray((wide + np.where(by > 0, up, 0)) >> by, np.int64)


def divide_even(values: NDArray[np.int64], divisor: int) -> NDArray[np.int64]:
    """Returns values / divisor rounded half to even; divisor > 0, |values| < 2^62."""
    quotient = values // divisor
    twice = (values - quotient * divisor) * 2
    up = (twice > divisor) | ((twice == divisor) & ((quotient & 1) == 1))
    return np.asarray(quotient + up, np.int64)


def rescale(values: Ints, source: Ints | int, target: Ints | int, bits: int) -> NDArray[np.int64]:
    """Returns values * 2^(source - target) rounded half to even and saturated to `bits` bits, symmetrically.

    Args:
        values: any integers, |values| < 2^62.
        source: their exponents, broadcastable to them.
        target: exponents of the result, broadcastable to the values.
        bits: 8 to 32; results lie in [-(2^(bits-1) - 1), 2^(bits-1) - 1].
    """
    right = np.subtract(target, source, dtype=np.int64)
    limit = (1 << (bits - 1)) - 1
    result = values.astype(np.int64)
    if (right > 0).any():
        result = shift_right_even(result, np.clip(right, 0, _MAX_SHIFT))
    if (right < 0).any():
        # what is beyond the limit saturates anyhow, so cutting it first keeps the shift within 64 bits
        cut = np.clip(result, -limit - 1, limit + 1)
        result = cut << np.clip(-right, 0, bits - 1)
    return np.asarray(np.clip(result, -limit, limit), np.int64)


def to_format(values: Ints, exponents: Ints | int, form: Format) -> FixedTensor:
    """Returns integers at `exponents` (broadcastable to them) in another format, rounded half to even, saturated."""
    return form.store(rescale(values, exponents, form.expand(values.shape), form.bits))


def align_over(tensor: FixedTensor, axes: Sequence[int], bits: int) -> tuple[NDArray[np.int64], Ints]:
    """Returns the mantissas at one exponent along `axes`, and those exponents (size 1 along the axes).

    The exponent is the largest that occurs, less the spare bits of a `bits`-bit result: nothing saturates, blocks with
    far smaller exponents are rounded half to even.
    """
    found = tensor.exponents
    over = tuple(a for a in axes if found.shape[a] > 1)
    common = found.max(axis=over, keepdims=True) - (bits - tensor.format.bits)
    return rescale(tensor.values, found, common, bits), common


def bit_length(values: Ints) -> NDArray[np.int64]:
    """Returns the number of bits of non-negative integers: 0 for 0, k for [2^(k-1), 2^k)."""
    rest = values.astype(np.int64)
    result = np.zeros(rest.shape, np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        upper = rest >> step
        is_large = upper > 0
        result += np.where(is_large, step, 0)
        rest = np.where(is_large, upper, rest)
    return result + (rest > 0)
