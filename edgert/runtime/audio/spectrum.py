"""The Fourier transform of windows of sound, and mel bands over it, in whole numbers (docs/numerics.md).

Source: the transform of 2 M real values by one of M complex ones: Press et al., Numerical Recipes, 3rd ed., 2007, 12.3;
the mel scale 1127 ln(1 + f / 700): O'Shaughnessy, Speech Communication, 1987, as in the HTK book.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgert.runtime.audio.integers import Integers

__all__ = ["Bands", "band_sums", "build_bands", "build_twiddles", "build_window", "cut_frames", "spectrum"]

Int16 = NDArray[np.int16]


def build_window(size: int) -> Int16:
    """Returns the periodic Hann window in 1/32768, at most 32767."""
    values = [0.5 - 0.5 * math.cos(2 * math.pi * i / size) for i in range(size)]
    return np.array([min(32767, round(32768 * value)) for value in values], np.int16)


def build_twiddles(points: int) -> Int16:
    """Returns int16[points / 2, 2]: (cos, -sin) of 2 pi k / points in 1/32768, at most 32767; k = 0 is never read."""
    angles = [2 * math.pi * k / points for k in range(points // 2)]
    pairs = [(min(32767, round(32768 * math.cos(a))), round(-32768 * math.sin(a))) for a in angles]
    return np.array(pairs, np.int16)


def cut_frames(audio: Int16, window: int, step: int) -> Int16:
    """Returns the whole windows of a clip: int16[frames, window]."""
    count = max(0, 1 + (len(audio) - window) // step)
    frames: Int16 = audio[np.arange(count)[:, None] * step + np.arange(window)]
    return frames


def spectrum(frames: Int16, window: Int16, points: int) -> tuple[Integers, Integers]:
    """Returns real and imaginary parts of bins 1 to points / 2 - 1, in 32768 / points of the values of `frames`.

    Nothing overflows 32 bits: products are below 2^30, and every stage halves, so that no magnitude grows.

    Args:
        frames: int16[frames, samples].
        window: as long as a frame; zeros follow up to `points`.
        points: a power of two.
    """
    padded = np.zeros((len(frames), points), np.int64)
    padded[:, : frames.shape[1]] = frames.astype(np.int64) * window
    twiddles = build_twiddles(points).astype(np.int64)
    order = _reversed_order(points // 2)
    real, imaginary = _transform(padded[:, ::2][:, order], padded[:, 1::2][:, order], twiddles)
    return _split(real, imaginary, twiddles)


def _reversed_order(count: int) -> NDArray[np.int64]:
    order = np.zeros(1, np.int64)
    while len(order) < count:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def _transform(real: Integers, imaginary: Integers, twiddles: Integers) -> tuple[Integers, Integers]:
    """Radix 2, decimation in time, on rows in bit-reversed order: the transform divided by its length."""
    count = real.shape[1]
    half = 1
    while half < count:
        shape = (len(real), count // (2 * half), 2, half)
        (ar, br), (ai, bi) = (np.moveaxis(part.reshape(shape), 2, 0) for part in (real, imaginary))
        cosine, sine = twiddles[:: count // half].T
        turned_r = _times(br, cosine) - _times(bi, sine)
        turned_i = _times(br, sine) + _times(bi, cosine)
        turned_r[..., 0], turned_i[..., 0] = br[..., 0] >> 1, bi[..., 0] >> 1
        real, imaginary = (
            np.stack([(a >> 1) + turned, (a >> 1) - turned], axis=2).reshape(len(real), count)
            for a, turned in ((ar, turned_r), (ai, turned_i))
        )
        half *= 2
    return real, imaginary


def _split(real: Integers, imaginary: Integers, twiddles: Integers) -> tuple[Integers, Integers]:
    """Bins 1 to count - 1 of the real transform, halved once more, from the complex one of even and odd samples."""
    count = real.shape[1]
    k = np.arange(1, count // 2 + 1)
    cosine, sine = twiddles[k].T
    zr, zi, mr, mi = (part[:, index] >> 1 for index in (k, count - k) for part in (real, imaginary))
    even_r, even_i, odd_r, odd_i = zr + mr, zi - mi, zi + mi, mr - zr
    turned_r = _times(odd_r, cosine) - _times(odd_i, sine)
    turned_i = _times(odd_r, sine) + _times(odd_i, cosine)
    out_r, out_i = np.empty_like(real), np.empty_like(real)
    out_r[:, k], out_i[:, k] = (even_r >> 1) + turned_r, (even_i >> 1) + turned_i
    out_r[:, count - k], out_i[:, count - k] = (even_r >> 1) - turned_r, turned_i - (even_i >> 1)
    return out_r[:, 1:], out_i[:, 1:]


def _times(values: Integers, weights: Integers) -> Integers:
    return (values * weights) >> 16


@dataclass(frozen=True, slots=True)
class Bands:
    """Triangles over bins, each from the centre of the one before to the centre of the one after.

    `first`: uint16[channels + 2], the first bin of every stretch between two centres (or ends) and the end of the
    last. `rise`: int16[bins], for bin first[0] + i how far it lies in its stretch, in 1/`one`.
    """

    first: NDArray[np.uint16]
    rise: Int16
    one: int


def build_bands(
    channels: int, low_hz: float, high_hz: float, bin_hz: float, bits: int, start: int | None = None
) -> Bands:
    """Returns `channels` triangles whose ends and centres lie evenly on the mel scale; weights have `bits` bits.

    Computed in float32, as in both references. Bins from the one at half the sample rate on weigh nothing. `start` is
    the first bin, None: the first above `low_hz`.
    """
    low, high = _mel(np.float32(low_hz)), _mel(np.float32(high_hz))
    spacing = (high - low) / np.float32(channels + 1)
    mels = [_mel(np.float32(k) * np.float32(bin_hz)) for k in range(math.ceil(high_hz / bin_hz))]
    edges = [low] + [low + spacing * np.float32(i) for i in range(1, channels + 2)]
    begin = max(1, _first_above(mels, low) if start is None else start)
    first = [begin, *(max(begin, _first_above(mels, edge)) for edge in edges[1:])]
    rise = []
    for (lower, upper), (head, tail) in zip(pairwise(edges), pairwise(first), strict=True):
        falls = [float((upper - mels[k]) / (upper - lower)) for k in range(head, tail)]
        rise += [math.floor((1 - fall) * (1 << bits) + 0.5) for fall in falls]
    limit = min(1 << bits, 32767)
    return Bands(np.array(first, np.uint16), np.array([min(r, limit) for r in rise], np.int16), 1 << bits)


def _first_above(mels: Sequence[np.float32], edge: np.float32) -> int:
    return next((k for k, mel in enumerate(mels) if mel > edge), len(mels))


def band_sums(values: Integers, bands: Bands) -> Integers:
    """Returns int64[frames, channels]: the weighted sums of values int64[frames, bins], where column 0 is bin 1."""
    first = bands.first.astype(np.int64)
    used = values[:, first[0] - 1 : first[-1] - 1]
    starts = [(int(a - first[0]), int(b - first[0])) for a, b in zip(first, first[1:], strict=False)]
    total = np.stack([used[:, a:b].sum(1) for a, b in starts], 1)
    risen = np.stack([(used[:, a:b] * bands.rise[a:b]).sum(1) for a, b in starts], 1)
    sums: Integers = risen[:, :-1] + total[:, 1:] * bands.one - risen[:, 1:]
    return sums


def _mel(frequency_hz: np.float32) -> np.float32:
    return np.float32(1127.0 * math.log1p(float(frequency_hz) / 700.0))
