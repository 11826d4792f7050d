"""What a loop that runs for months may keep about itself: rings and histograms of a fixed size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["LatencyHistogram", "LatencySummary", "RateWindow", "Window"]

_STEP = 1.02
_LEAST_MS, _MOST_MS = 1e-3, 1e6
_BINS = math.ceil(math.log(_MOST_MS / _LEAST_MS) / math.log(_STEP)) + 1


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Milliseconds over `count` values; None before the first."""

    count: int
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


class LatencyHistogram:
    """Latencies of the whole run in bins that are 2 % wide, so a percentile is right to 2 %; 8 kB, for ever."""

    def __init__(self) -> None:
        self._bins = np.zeros(_BINS, np.int64)
        self.count, self.sum_ms, self._max_ms = 0, 0.0, 0.0

    def add(self, value_ms: float) -> None:
        """Counts one latency."""
        clipped = min(max(value_ms, _LEAST_MS), _MOST_MS)
        self._bins[int(math.log(clipped / _LEAST_MS) / math.log(_STEP))] += 1
        self.count += 1
        self.sum_ms += value_ms
        self._max_ms = max(self._max_ms, value_ms)

    def percentile_ms(self, share: float) -> float | None:
        """Returns the value below which that share (0 to 1) lies: the middle of its bin; None before the first."""
        if not self.count:
            return None
        index = int(np.searchsorted(np.cumsum(self._bins), max(1, math.ceil(share * self.count))))
        return min(_LEAST_MS * math.pow(_STEP, index + 0.5), self._max_ms)

    def summary(self) -> LatencySummary:
        """Returns the figures of the run so far."""
        p50, p95, p99 = (self.percentile_ms(share) for share in (0.5, 0.95, 0.99))
        mean = self.sum_ms / self.count if self.count else None
        return LatencySummary(self.count, mean, p50, p95, p99, self._max_ms if self.count else None)


class Window:
    """The newest values, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._values = np.zeros(size, np.float64)
        self._count = 0

    def add(self, value: float) -> None:
        """Stores a value in the place of the oldest."""
        self._values[self._count % len(self._values)] = value
        self._count += 1

    def median(self) -> float | None:
        """Returns the median of what is stored, or None."""
        kept = self._values[: min(self._count, len(self._values))]
        return float(np.median(kept)) if kept.size else None


class RateWindow:
    """Events a second over the last `span_s` seconds, at most `size` events."""

    def __init__(self, span_s: float = 5.0, size: int = 1024) -> None:
        self._span_s = span_s
        self._times = np.full(size, -np.inf)
        self._count = 0

    def add(self, now_s: float) -> None:
        """Counts an event."""
        self._times[self._count % len(self._times)] = now_s
        self._count += 1

    def per_second(self, now_s: float) -> float:
        """Returns the rate: intervals between the events of the span, by the time from the first of them to now."""
        recent = self._times[self._times > now_s - self._span_s]
        if recent.size < 2:
            return 0.0
        return float((recent.size - 1) / max(recent.max() - recent.min(), 1e-9, now_s - recent.max()))
