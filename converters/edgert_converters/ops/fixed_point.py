"""Fixed-point functions of TensorFlow Lite's reference kernels, on int64 arrays that hold int32 numbers.

A number in format Qm has m integer bits: it is raw / 2^(31 - m). Every function gives the reference's raw numbers bit
for bit, including where they saturate.
Source: gemmlowp, fixedpoint/fixedpoint.h, and tensorflow/lite/kernels/internal/common.h (formulas, not code).
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Raw",
    "count_leading_zeros",
    "divide_by_power",
    "exp_negative",
    "high_multiply",
    "log_above_one",
    "logistic",
    "reciprocal",
    "rescale",
    "tanh",
]

Raw: TypeAlias = NDArray[np.int64]

_LARGEST, _SMALLEST = (1 << 31) - 1, -(1 << 31)
_ONE = _LARGEST
# e^(-2^k) in Q0 for k = -2 to 4
_EXPONENTIALS: Final = tuple(
    zip(range(-2, 5), (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242), strict=True)
)
_EXP_OF_MINUS_EIGHTH, _THIRD = 1895147668, 715827883
_48_OVER_17, _MINUS_32_OVER_17 = 1515870810, -1010580540  # in Q2
_LOG_2, _SQRT_HALF, _FOURTH_ROOT_HALF, _QUARTER = 1488522236, 1518500250, 1805811301, 536870912
_ALPHA_N, _ALPHA_D, _ALPHA_I, _ALPHA_F = 117049297, 127690142, 1057819769, 638450708


def high_multiply(a: Raw, b: Raw | int) -> Raw:
    """Returns a * b / 2^31, rounded half away from zero and saturated: Qm times Qn is Q(m + n)."""
    product = np.asarray(a * np.int64(b), np.int64)
    total = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    result: Raw = np.where(total >= 0, total >> 31, -(-total >> 31))
    return np.minimum(result, _LARGEST)


def divide_by_power(x: Raw, exponent: Raw | int) -> Raw:
    """Returns x / 2^exponent, rounded half away from zero."""
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    result: Raw = (x >> exponent) + ((x & mask) > threshold)
    return result


def rescale(x: Raw, from_bits: int, to_bits: int) -> Raw:
    """Returns a number of format Q(from_bits) in Q(to_bits), rounded half away from zero or saturated."""
    exponent = from_bits - to_bits
    return _shift(x, exponent)


def exp_negative(a: Raw, integer_bits: int) -> Raw:
    """Returns exp(a) in Q0 for a <= 0 in Q(integer_bits), integer_bits up to 5.

    The part of a below 1/4 goes through a series of degree 4 around -1/8, the rest through one multiplication per bit.
    """
    fraction_bits = 31 - integer_bits
    quarter = np.int64(1) << (fraction_bits - 2)
    part = (a & (quarter - 1)) - quarter
    result = _exp_small(_shift(part, integer_bits))
    remainder = part - a
    for exponent, factor in _EXPONENTIALS:
        if integer_bits > exponent:
            bit = np.int64(1) << (fraction_bits + exponent)
            result = np.where(remainder & bit, high_multiply(result, factor), result)
    return np.where(a == 0, _ONE, result)


def logistic(a: Raw, integer_bits: int) -> Raw:
    """Returns 1 / (1 + exp(-a)) in Q0 for a in Q(integer_bits)."""
    positive = _one_over_one_plus(exp_negative(-np.abs(a), integer_bits))
    result = np.where(a > 0, positive, _ONE - positive)
    return np.where(a == 0, 1 << 30, result)


def tanh(a: Raw, integer_bits: int) -> Raw:
    """Returns the hyperbolic tangent of a, in Q0, for a in Q(integer_bits)."""
    # 2 * a in the same raw number, with one integer bit more
    value = _one_minus_over_one_plus(exp_negative(-np.abs(a), integer_bits + 1))
    return np.where(a == 0, 0, np.where(a < 0, -value, value))


def reciprocal(x: Raw, integer_bits: int) -> tuple[Raw, Raw]:
    """Returns 1 / x in Q0 for x > 0 in Q(integer_bits), scaled to [1/2, 1], and the bits of x above one."""
    headroom = count_leading_zeros(x)
    return _one_over_one_plus((x << headroom) - (1 << 31)), integer_bits - headroom


def count_leading_zeros(x: Raw) -> Raw:
    """Returns the zero bits above the highest set bit of 32, 32 for 0."""
    return 32 - np.frexp(x.astype(np.float64))[1].astype(np.int64)


def log_above_one(x: Raw, input_bits: int, output_bits: int) -> Raw:
    """Returns the natural logarithm in Q(output_bits) of x >= 1 in Q(input_bits).

    x is scaled by a power of two or of sqrt(2) to lie near one, where a rational function holds.
    """
    bits = output_bits + 1
    quarter = _shift(np.asarray(_QUARTER, np.int64), -bits)
    headroom = count_leading_zeros(x)
    near = _shift_left(high_multiply(_shift_left(x, headroom - 1), _SQRT_HALF), 1)
    power = np.clip(_shift_left(input_bits - headroom, 31 - bits) + quarter, _SMALLEST, _LARGEST)
    other_headroom = count_leading_zeros(high_multiply(x, _SQRT_HALF)) - 1
    other = _shift_left(x, other_headroom)
    other_power = np.clip(_shift_left(input_bits - other_headroom, 31 - bits) - quarter, _SMALLEST, _LARGEST)
    r, power = np.minimum(near, other), np.maximum(power, other_power)
    p = _half_sum(r, _FOURTH_ROOT_HALF)
    q = 2 * (r - _FOURTH_ROOT_HALF)
    square = high_multiply(q, q)
    numerator = high_multiply(q, r) + high_multiply(high_multiply(q, square), _ALPHA_N)
    denominator = high_multiply(p, _ALPHA_I + q + high_multiply(square, _ALPHA_D)) + high_multiply(q, _ALPHA_F)
    quotient = high_multiply(_shift(numerator, -bits), _one_over_one_plus(denominator))
    return _shift(high_multiply(power, _LOG_2) + quotient, bits - output_bits)


def _exp_small(a: Raw) -> Raw:
    """Returns exp(a) in Q0 for a in [-1/4, 0) in Q0."""
    x = a + (1 << 28)
    square = high_multiply(x, x)
    cube, fourth = high_multiply(square, x), high_multiply(square, square)
    tail = divide_by_power(high_multiply(divide_by_power(fourth, 2) + cube, _THIRD) + square, 1)
    return _EXP_OF_MINUS_EIGHTH + high_multiply(x + tail, _EXP_OF_MINUS_EIGHTH)


def _newton(a: Raw) -> tuple[Raw, Raw]:
    """Returns x in Q2 near 2 / (1 + a), by three steps of Newton's method, for a in [0, 1] in Q0."""
    half = _half_sum(a, _ONE)
    x = _48_OVER_17 + high_multiply(half, _MINUS_32_OVER_17)
    for _ in range(3):
        x = x + _shift(high_multiply(x, (1 << 29) - high_multiply(half, x)), 2)
    return half, x


def _one_over_one_plus(a: Raw) -> Raw:
    return _shift(_newton(a)[1], 1)


def _one_minus_over_one_plus(a: Raw) -> Raw:
    """Returns (1 - a) / (1 + a)."""
    return _shift(_newton(a)[1] - (1 << 29), 2)


def _half_sum(a: Raw, b: int) -> Raw:
    """Returns (a + b) / 2, rounded half away from zero."""
    total = a + b
    rounded = total + np.where(total >= 0, 1, -1)
    return np.where(rounded >= 0, rounded >> 1, -(-rounded >> 1))


def _shift(x: Raw, exponent: int) -> Raw:
    """Returns x * 2^exponent: saturated to the left, rounded half away from zero to the right."""
    return _shift_left(x, exponent) if exponent > 0 else divide_by_power(x, -exponent)


def _shift_left(x: Raw, exponent: Raw | int) -> Raw:
    result: Raw = np.clip(x << exponent, _SMALLEST, _LARGEST)
    return result
