"""Streaming statistics of one activation: constant memory, whatever the number of samples."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgert.errors import DataError

__all__ = ["BINS", "RunningHistogram", "TensorStatistics"]

BINS = 4096
"""At least 8 bins for each of 256 quantization steps, so that a threshold between bins costs under 1/16 step."""

_MIN_EXPONENT = -60
_FINEST_SHARE = 2.0**-24
"""Bins finer than float32 itself tell nothing apart, and for a nearly constant tensor their numbers overflow int64."""


_CHUNK = 1 << 16
"""Elements counted at once: their bin numbers stay in the cache, and take no memory to speak of."""


class TensorStatistics:
    """Range, histogram and channel means of one activation over all samples seen."""

    __slots__ = ("_channel_means", "_updates", "histogram")

    def __init__(self) -> None:
        self.histogram = RunningHistogram()
        self._channel_means: NDArray[np.float64] | None = None
        self._updates = 0

    def update(self, x: NDArray[np.float32], name: str) -> None:
        """Adds one sample: float32[N, C, ...] or of any other rank; `name` is the tensor's, for the message.

        Raises:
            DataError: `x` holds NaN or an infinity.
        """
        self.histogram.update(x, name)
        if x.ndim >= 2:
            means = x.mean(axis=tuple(axis for axis in range(x.ndim) if axis != 1), dtype=np.float64)
            self._channel_means = means if self._channel_means is None else self._channel_means + means
            self._updates += 1

    def channel_means(self) -> NDArray[np.float64] | None:
        """Means over axis 1, float64[C]; None for a tensor of rank below 2."""
        return None if self._channel_means is None else self._channel_means / self._updates

    def stretched(self, factor: float) -> TensorStatistics:
        """Returns a copy whose values are spread by `factor` while the channel means stay; only for reading."""
        copy = TensorStatistics()
        copy.histogram = self.histogram.stretched(factor)
        copy._channel_means, copy._updates = self._channel_means, self._updates
        return copy


class RunningHistogram:
    """Minimum, maximum and counts over bins of a power-of-two width.

    Bin k covers [k * width, (k + 1) * width). When a value falls outside, the width doubles and neighbours merge, so
    counts stay exact and do not depend on the order of the samples (but for the first, which sets the finest width).
    """

    __slots__ = ("_start", "_width", "count", "counts", "maximum", "minimum")

    def __init__(self) -> None:
        self.minimum = math.inf
        self.maximum = -math.inf
        self.count = 0
        self.counts: NDArray[np.int64] = np.zeros(BINS, np.int64)
        self._width = 0.0
        self._start = 0

    def update(self, x: NDArray[np.float32], name: str) -> None:
        """Adds all elements of `x` (any shape); `name` is the tensor's, for the message.

        Raises:
            DataError: `x` holds NaN or an infinity.
        """
        if x.size == 0:
            return
        low, high = float(x.min()), float(x.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise DataError(
                f"calibration gives NaN or infinity in tensor {name!r}; check the data and its pre-processing"
            )
        self._cover(min(low, self.minimum), max(high, self.maximum))
        # the width is a power of two, so its inverse is exact and bins do not drift
        inverse, flat = np.float32(1.0 / self._width), x.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            scaled = flat[start : start + _CHUNK] * inverse
            index = np.floor(scaled, out=scaled).astype(np.int64)
            index -= self._start
            self.counts += np.bincount(index, minlength=BINS)
        self.count += x.size

    def centres(self) -> NDArray[np.float64]:
        """Midpoints of the bins, float64[BINS]."""
        return np.asarray((np.arange(BINS) + self._start + 0.5) * self._width, np.float64)

    def quantile(self, share: float) -> float:
        """Returns the value below which `share` (0..1) of all elements lie, to one bin."""
        position = int(np.searchsorted(np.cumsum(self.counts), share * self.count))
        return float(np.clip((position + self._start + 1) * self._width, self.minimum, self.maximum))

    def stretched(self, factor: float) -> RunningHistogram:
        """Returns a copy of `factor` times the values, only for reading: its bins have no power-of-two width."""
        copy = RunningHistogram()
        copy.counts, copy.count = self.counts.copy(), self.count
        copy.minimum, copy.maximum = self.minimum * factor, self.maximum * factor
        copy._width, copy._start = self._width * factor, self._start
        return copy

    def _cover(self, low: float, high: float) -> None:
        if self._width == 0.0:
            span = max(high - low, 2.0**_MIN_EXPONENT, BINS * _FINEST_SHARE * max(abs(low), abs(high)))
            self._width = 2.0 ** max(_MIN_EXPONENT, math.ceil(math.log2(span / (BINS - 2))))
            self._start = math.floor(low / self._width)
        while math.floor(high / self._width) - math.floor(low / self._width) >= BINS:
            self._double()
        start = math.floor(low / self._width)
        if start < self._start or math.floor(high / self._width) >= self._start + BINS:
            self._shift(self._start - start)
        self.minimum, self.maximum = low, high

    def _double(self) -> None:
        odd = self._start % 2
        padded = np.concatenate([np.zeros(odd, np.int64), self.counts, np.zeros(odd, np.int64)])
        merged = padded.reshape(-1, 2).sum(axis=1)
        self.counts = np.zeros(BINS, np.int64)
        self.counts[: merged.size] = merged
        self._start = (self._start - odd) // 2
        self._width *= 2

    def _shift(self, by: int) -> None:
        moved = np.zeros(BINS, np.int64)
        if by >= 0:
            moved[by:] = self.counts[: BINS - by]
        else:
            moved[:by] = self.counts[-by:]
        self.counts = moved
        self._start -= by
