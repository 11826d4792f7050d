"""Sigmoid, Tanh and Softmax on 16-bit integers, as TensorFlow Lite's reference kernels look them up in tables.

Source: tensorflow/lite/kernels/internal/reference/integer_ops/logistic.h and tanh.h, reference/softmax.h (formulas).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.quant import multiplier_q31, multiply_q31
from edgert_converters.ops.fixed_point import Raw, count_leading_zeros

__all__ = ["sigmoid_int16", "softmax_int16", "tanh_int16"]

_EXP_STEP = 10.0 / 65535.0
_LARGEST, _SMALLEST = (1 << 15) - 1, -(1 << 15)
Float32 = NDArray[np.float32]


def sigmoid_int16(x: Raw, scale: np.float32) -> Raw:
    """Returns 2^15 / (1 + exp(-x * scale)) for integers x of 16 bits."""
    values = _in_table_steps(x, scale, free_shift=0)
    size = np.abs(values)
    result = np.where(size >> 9 >= 255, 0x7FFF << 10, _interpolated(size, 9))
    return np.where(values >= 0, result + (1 << 9), (1 << 25) - result + (1 << 9) - 1) >> 10


def tanh_int16(x: Raw, scale: np.float32) -> Raw:
    """Returns 2^15 * tanh(x * scale) for integers x of 16 bits."""
    values = _in_table_steps(x, scale, free_shift=1)
    size = np.abs(values)
    result = np.where(size >> 8 >= 255, 0xFFFF << 8, _interpolated(size, 8))
    centre, half = 1 << 23, 1 << 7
    return np.where(values >= 0, result - centre + half, -result + centre + half - 1) >> 8


def softmax_int16(differences: Raw, scale: np.float32, axis: int) -> Raw:
    """Returns 2^15 * softmax for differences to the largest integer along `axis`."""
    multiplier, shift = multiplier_q31(np.float64(scale) / _EXP_STEP)
    scaled = np.clip(multiply_q31(differences, multiplier, shift) + _LARGEST, _SMALLEST, _LARGEST)
    power = _looked_up(_table(np.exp, -10.0, 0.0), scaled)
    total = power.sum(axis=axis, keepdims=True)
    headroom = count_leading_zeros(total)
    shifted = ((total << (headroom - 1)) + (1 << 13)) >> 14
    share = np.clip(shifted - ((1 << 15) + (1 << 16)), _SMALLEST, _LARGEST)
    inverse = _looked_up(_table(lambda v: np.float32(1) / (np.float32(1) + v), 0.0, 1.0), share)
    right = 31 - headroom
    result: Raw = np.clip((power * inverse + (np.int64(1) << (right - 1))) >> right, 0, _LARGEST)
    return result


def _in_table_steps(x: Raw, scale: np.float32, *, free_shift: int) -> Raw:
    """Returns x in steps of 1 / (3 * 4096); scales of 2^-12 (and for Tanh 2^-11) are multiplied exactly."""
    exponent = 12 + round(float(np.log2(scale)))
    if float(scale) == 2.0 ** (exponent - 12) and 0 <= exponent <= free_shift:
        return x * (3 << exponent)
    multiplier, shift = float(scale) * 4096.0 * 3.0, 0
    while multiplier <= 32767.0 / 2.0 and shift <= 30:
        multiplier, shift = multiplier * 2.0, shift + 1
    half = (1 << (shift - 1)) if shift else 0
    return (x * int(multiplier) + half) >> shift


def _interpolated(size: Raw, bits: int) -> Raw:
    """Returns 2^16 * sigmoid(i / 24) between its 256 samples, times 2^bits."""
    at = np.arange(256)
    # each sample carries half the error of the line to the next one; the last one is 2^16 - 1
    error = _sigmoid_of_24ths(at + 0.5) - (_sigmoid_of_24ths(at) + _sigmoid_of_24ths(at + 1)) / 2
    samples = np.floor(_sigmoid_of_24ths(at) + error / 2 + 0.5).astype(np.int64)
    samples[-1] = 65535
    index = np.minimum(size >> bits, 254)
    first, second = samples[index], samples[index + 1]
    result: Raw = (first << bits) + (size & ((1 << bits) - 1)) * (second - first)
    return result


def _sigmoid_of_24ths(x: NDArray[Any]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 65536.0 / (1.0 + np.exp(-x / 24.0))
    return result


def _table(function: Callable[[Float32], Float32], low: float, high: float) -> Raw:
    """Returns 513 samples in Q15, each moved by half the error of interpolating in the middle; in float32."""
    step = np.float32((high - low) / 512)
    at = np.float32(low) + np.arange(513, dtype=np.float32) * step
    factor = np.float32(32768)
    samples = _rounded(function(at) * factor)
    between = _rounded((function(at[1:]) * factor + samples[:-1]) / np.float32(2))
    error = between - _rounded(function(at[:-1] + step / np.float32(2)) * factor)
    samples[:-1] -= _rounded(error / np.float32(2))
    samples[-1] = _rounded(function(np.asarray([high], np.float32)) * factor)[0]
    result: Raw = np.clip(samples, _SMALLEST, _LARGEST).astype(np.int64)
    return result


def _rounded(x: Float32) -> Float32:
    """Rounds half away from zero."""
    result: Float32 = (np.sign(x) * np.floor(np.abs(x) + np.float32(0.5))).astype(np.float32)
    return result


def _looked_up(table: Raw, x: Raw) -> Raw:
    index = 256 + (x >> 7)
    base = table[index]
    result: Raw = base + (((table[index + 1] - base) * (x & 0x7F) + 64) >> 7)
    return result
