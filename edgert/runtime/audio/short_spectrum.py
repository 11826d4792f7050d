"""The Fourier transform of the micro_frontend, in 16 bits: radix 4 with rounded divisions (docs/numerics.md).

Source: the 16-bit mode of Kiss FFT, which TensorFlow's microfrontend uses; every rounding is the same, so is every bit.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgert.runtime.audio.integers import Integers

__all__ = ["build_short_twiddles", "short_spectrum"]

_ONE = 32767


def build_short_twiddles(points: int) -> NDArray[np.int16]:
    """Returns int16[points / 2, 2]: (cos, -sin) of 2 pi k / points in 1/32767."""
    angles = [2 * math.pi * k / points for k in range(points // 2)]
    return np.array(
        [(math.floor(0.5 + _ONE * math.cos(a)), math.floor(0.5 - _ONE * math.sin(a))) for a in angles], "i2"
    )


def short_spectrum(frames: NDArray[np.int16], points: int) -> tuple[Integers, Integers]:
    """Returns real and imaginary parts of bins 1 to points / 2 - 1, int16 values in 1 / points of those of `frames`.

    Sums are cut to 16 bits, as they are in C; windowed sound never comes near.

    Args:
        frames: int16[frames, samples], already windowed; zeros follow up to `points`.
        points: a power of two.
    """
    half = points // 2
    padded = np.zeros((len(frames), points), np.int64)
    padded[:, : frames.shape[1]] = frames
    turns = build_short_twiddles(points).astype(np.int64)
    order = _places(half)
    values = np.zeros((2, len(frames), half), np.int64)
    values[0][:, order], values[1][:, order] = padded[:, ::2], padded[:, 1::2]
    size = 1
    if half.bit_length() % 2 == 0:
        values = _pairs(values)
        size = 2
    while size < half:
        values = _fours(values, size, turns)
        size *= 4
    return _split(values, turns)


def _places(half: int) -> NDArray[np.int64]:
    """Where each complex value goes: its digits of two bits in reverse; of an odd number of bits the top one alone."""
    index, place, room = np.arange(half), np.zeros(half, np.int64), half
    while room > 1:
        bits = 2 if room > 2 else 1
        room >>= bits
        place += (index & ((1 << bits) - 1)) * room
        index = index >> bits
    return place


def _pairs(values: Integers) -> Integers:
    """The first stage of radix 2, whose turn is 1."""
    even, odd = np.moveaxis(_divide(values.reshape(2, values.shape[1], -1, 2), 2), 3, 0)
    return _cut(np.stack([even + odd, even - odd], 3).reshape(values.shape))


def _fours(values: Integers, size: int, turns: Integers) -> Integers:
    """A stage of radix 4: transforms of `size` values become some of four times as many."""
    half = values.shape[2]
    parts = _divide(values.reshape(2, values.shape[1], half // (4 * size), 4, size), 4)
    step = half // (2 * size)
    a, b, c, d = (_turn(parts[:, :, :, i], _turns_at(turns, i * step * np.arange(size))) for i in range(4))
    crossed = np.stack([(b - d)[1], -(b - d)[0]])
    stages = [a + c + (b + d), a - c + crossed, a + c - (b + d), a - c - crossed]
    return _cut(np.stack(stages, 3).reshape(values.shape))


def _split(values: Integers, turns: Integers) -> tuple[Integers, Integers]:
    """Bins 1 to half - 1 of the real transform from the complex one of even and odd samples."""
    half = values.shape[2]
    k = np.arange(1, half // 2 + 1)
    near, far = _divide(values[:, :, k], 2), _divide(_cut(_conjugate(values[:, :, half - k])), 2)
    even, odd = _cut(near + far), _cut(near - far)
    cosine, sine = turns[k].T
    turned = _cut(_turn(odd, np.stack([sine, -cosine])))
    found = np.empty_like(values)
    found[:, :, k] = (even + turned) >> 1
    found[:, :, half - k] = _conjugate(even - turned) >> 1
    return found[0][:, 1:], found[1][:, 1:]


def _turns_at(turns: Integers, index: NDArray[np.int64]) -> Integers:
    """(cos, -sin) at `index` below 2 * len(turns), which is a whole turn."""
    half = len(turns)
    signs = np.where(index < half, 1, -1)
    found: Integers = turns[index % half].T * signs
    return found


def _turn(values: Integers, turns: Integers) -> Integers:
    """Complex product with `turns`, [2, n], rounded half up; parts of real and imaginary come first."""
    (real, imaginary), (cosine, sine) = values, turns
    products = np.stack([real * cosine - imaginary * sine, real * sine + imaginary * cosine])
    return (products + (1 << 14)) >> 15


def _divide(values: Integers, divisor: int) -> Integers:
    return (values * (_ONE // divisor) + (1 << 14)) >> 15


def _conjugate(values: Integers) -> Integers:
    return np.stack([values[0], -values[1]])


def _cut(values: Integers) -> Integers:
    return values.astype(np.int16).astype(np.int64)
