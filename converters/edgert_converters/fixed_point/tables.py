"""Look-up tables in place of non-linear functions: any function of one variable, exp, 1 / x and 1 / sqrt(x).

The tables of exp, 1 / x and 1 / sqrt(x) do not depend on the model and are filled with exact integers or decimals, so
every computer has the same; tables of other functions are filled in double precision when a model is quantized and
travel with it.
"""

from __future__ import annotations

import decimal
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgert_converters.fixed_point.arithmetic import bit_length, rescale, shift_right_even
from edgert_converters.fixed_point.formats import Ints

__all__ = ["Lookup", "build_lookup", "exp_negative", "inverse_root", "look_up", "reciprocal"]

Int64: TypeAlias = NDArray[np.int64]
Function: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]

_INDEX_BITS = (8, 9, 10, 11, 12)
_LARGEST = 32767
_EXP_END, _EXP_SEGMENTS = 16, 2048
_POSITION_EXPONENT = -15
_EXP_FRACTION = 8
_FRACTION = 22
_ROOT_FRACTION = 20


@dataclass(frozen=True, slots=True, eq=False)
class Lookup:
    """One row per input exponent: `rows: int16[T, 2^index_bits + 1]` at 2^exponent, inputs ascending from the smallest.

    int8 inputs have an entry each (index_bits = 8); int16 inputs interpolate linearly between entries.
    """

    rows: Ints
    inputs: Ints
    exponent: int
    index_bits: int
    bits: int


def build_lookup(function: Function, inputs: Sequence[int], bits: int, exponent: int) -> Lookup:
    """Returns tables of `function` over everything that `bits`-bit mantissas at each exponent of `inputs` can be.

    16-bit tables take the fewest of 256 to 4096 segments that keep the interpolation within one step of 2^exponent, or
    4096. Entries are rounded half to even from double precision and saturated to 16 bits; NaN becomes 0.
    """
    distinct = np.unique(np.asarray(inputs, np.int16))
    lookup = _tabulate(function, distinct, bits, exponent, _INDEX_BITS[0])
    for index_bits in _INDEX_BITS[1:] if bits == 16 else ():
        if _largest_error(function, lookup) <= 1:
            break
        lookup = _tabulate(function, distinct, bits, exponent, index_bits)
    return lookup


def _tabulate(function: Function, inputs: Ints, bits: int, exponent: int, index_bits: int) -> Lookup:
    rows = np.stack([_fill(function, int(e), bits, exponent, index_bits) for e in inputs])
    return Lookup(rows.astype(np.int16), inputs, exponent, index_bits, bits)


def look_up(lookup: Lookup, values: Ints, exponents: Ints) -> Int64:
    """Returns the function of `values` at `exponents`, as integers at the lookup's own exponent.

    With f fraction bits below the index: y = t[i] + (t[i + 1] - t[i]) * fraction / 2^f, rounded half to even.
    """
    fraction_bits = lookup.bits - lookup.index_bits
    position = values.astype(np.int64) + (1 << (lookup.bits - 1))
    row = np.broadcast_to(np.searchsorted(lookup.inputs, exponents), position.shape)
    index = position >> fraction_bits
    low = lookup.rows[row, index].astype(np.int64)
    if fraction_bits == 0:
        return np.asarray(low, np.int64)
    high = lookup.rows[row, index + 1].astype(np.int64)
    fraction = position & ((1 << fraction_bits) - 1)
    return np.asarray(low + shift_right_even((high - low) * fraction, fraction_bits), np.int64)


def exp_negative(distance: Int64, exponents: Ints) -> Int64:
    """Returns exp(-distance * 2^exponent) in Q15 (1 is 32768), by 2,048 interpolated segments over [0, 16).

    Beyond 16 the result is 0. `distance` is not negative.
    """
    end = (_EXP_END << -_POSITION_EXPONENT) - 1
    position = np.minimum(rescale(distance, exponents, _POSITION_EXPONENT, 32), end)
    return _interpolate(_exponential(), position, _EXP_FRACTION)


def reciprocal(values: Int64) -> tuple[Int64, Int64]:
    """Returns (r, e) with 1 / values = r * 2^e: r in [2^15, 2^16], relative error below 2^-15; values in [1, 2^31)."""
    length = bit_length(values)
    normal = values << (31 - length)
    return _interpolate(_inverse(), normal - (1 << 30), _FRACTION), -15 - length


def inverse_root(values: Int64) -> tuple[Int64, Int64]:
    """Returns (r, e) with 1 / sqrt(values) = r * 2^e: r in [2^15, 2^16], relative error below 2^-15.

    `values` lie in [1, 2^62); bits below the leading 29 are dropped.
    """
    shift = 30 - bit_length(values)
    shift -= shift % 2  # an even power of two has a root
    normal = np.where(shift >= 0, values << np.maximum(shift, 0), values >> np.maximum(-shift, 0))
    return _interpolate(_inverse_roots(), normal - (1 << 28), _ROOT_FRACTION), -30 + shift // 2


def _interpolate(table: Int64, position: Int64, fraction_bits: int) -> Int64:
    index = position >> fraction_bits
    fraction = position & ((1 << fraction_bits) - 1)
    low = table[index]
    return np.asarray(low + shift_right_even((table[index + 1] - low) * fraction, fraction_bits), np.int64)


def _fill(function: Function, source: int, bits: int, target: int, index_bits: int) -> NDArray[np.float64]:
    mantissas = np.arange((1 << index_bits) + 1, dtype=np.float64) * 2.0 ** (bits - index_bits) - 2.0 ** (bits - 1)
    return np.rint(_evaluate(function, mantissas, source, target))


def _evaluate(function: Function, mantissas: NDArray[np.float64], source: int, target: int) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):  # a function may be infinite or undefined where no value ever lies
        y = np.nan_to_num(np.ldexp(function(np.ldexp(mantissas, source)), -target), nan=0.0)
    return np.asarray(np.clip(y, -_LARGEST, _LARGEST), np.float64)


def _largest_error(function: Function, lookup: Lookup) -> float:
    """The largest error in steps of the output, looked at in the middle of each segment, where it is largest."""
    step = 1 << (lookup.bits - lookup.index_bits)
    middles = np.arange(step // 2, 1 << lookup.bits, step) - (1 << (lookup.bits - 1))
    worst = 0.0
    for source in lookup.inputs:
        real = _evaluate(function, middles.astype(np.float64), int(source), lookup.exponent)
        found = look_up(lookup, middles, np.asarray(source))
        worst = max(worst, float(np.abs(real - found).max()))
    return worst


@functools.cache
def _exponential() -> Int64:
    context = decimal.Context(prec=30)
    step = decimal.Decimal(_EXP_END) / _EXP_SEGMENTS
    entries = [context.exp(-step * i) * 32768 for i in range(_EXP_SEGMENTS + 1)]
    return np.asarray([int(v.to_integral_value(decimal.ROUND_HALF_EVEN)) for v in entries], np.int64)


@functools.cache
def _inverse() -> Int64:
    """2^46 / (i * 2^22) for i in 256..512, rounded to nearest."""
    return np.asarray([((1 << 25) // i + 1) // 2 for i in range(256, 513)], np.int64)


@functools.cache
def _inverse_roots() -> Int64:
    """2^30 / sqrt(i * 2^20) for i in 256..1024, rounded down from one bit more, then to nearest."""
    return np.asarray([(math.isqrt((1 << 42) // i) + 1) // 2 for i in range(256, 1025)], np.int64)
