"""Times one callable: warm-up until steady, then windows of runs. Knows nothing of models."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.profiler.record import Latency, Sustained
from edgert.profiler.statistics import mean_interval, median_interval

__all__ = [
    "Plan",
    "Warmup",
    "measure_sustained",
    "measure_windows",
    "median_ms",
    "summarize",
    "wait_until_quiet",
    "warm_up",
]

Samples = NDArray[np.float64]
Run = Callable[[], object]
Clock = Callable[[], int]

STEADY_SPREAD = 0.05
_STEADY_WINDOWS = 3
_WARMUP_WINDOW_S = 0.05
_WARMUP_WINDOW_RUNS = 5
_KEPT_PER_WINDOW = 200
_MIN_RUNS_PER_WINDOW = 3
_SUSTAINED_SPAN_S = 60.0
_FEW_RUNS_LIMIT_S = 5.0
_SLOW_MARGIN_S, _SLOW_TIMES = 60.0, 4.0
_QUIET_SLICE_S = 0.004
_QUIET_SHARE = 0.25
_QUIET_LIMIT_S = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure. Each window runs for `duration_s / windows`, and at least three times until `limit_s`."""

    duration_s: float = 3.0
    windows: int = 10
    max_warmup_s: float = 5.0

    @property
    def limit_s(self) -> float:
        """Time for all windows together; on a device that is too slow for it the last ones are left out."""
        return _SLOW_MARGIN_S + _SLOW_TIMES * self.duration_s


@dataclass(frozen=True, slots=True)
class Warmup:
    """How the warm-up went; `steady` is False when its limit came first."""

    runs: int
    steady: bool


def warm_up(run: Run, limit_s: float, clock: Clock = time.perf_counter_ns) -> Warmup:
    """Runs until the medians of three windows in a row lie within 5 % of each other, or the limit is reached.

    The run in which the limit is reached is the last.
    """
    medians: list[float] = []
    runs = 0
    start = clock()
    while True:
        window = _window(run, _WARMUP_WINDOW_S, _WARMUP_WINDOW_RUNS, clock, start + int(limit_s * 1e9))
        runs += window.size
        medians.append(float(np.median(window)))
        last = medians[-_STEADY_WINDOWS:]
        if len(last) == _STEADY_WINDOWS and max(last) <= min(last) * (1 + STEADY_SPREAD):
            return Warmup(runs, True)
        if (clock() - start) / 1e9 >= limit_s:
            return Warmup(runs, False)


def measure_windows(
    run: Run, plan: Plan, between: Callable[[int], None], clock: Clock = time.perf_counter_ns
) -> list[Samples]:
    """Returns the latencies of each window in ms: float64[runs] per window.

    `between(index)` is called before each window and once after the last, outside the timed runs. Garbage collection
    is off inside a window. No run begins after `plan.limit_s`, but the first.
    """
    windows: list[Samples] = []
    limit = clock() + int(plan.limit_s * 1e9)
    while len(windows) < plan.windows and (not windows or clock() < limit):
        between(len(windows))
        with _no_collection():
            windows.append(_window(run, plan.duration_s / plan.windows, _MIN_RUNS_PER_WINDOW, clock, limit))
    between(len(windows))
    return windows


def measure_sustained(run: Run, duration_s: float, clock: Clock = time.perf_counter_ns) -> Sustained:
    """Runs for `duration_s` and compares its first minute with its last (a fifth each when under five minutes)."""
    span_s = min(_SUSTAINED_SPAN_S, duration_s / 5)
    start = clock()
    first: list[Samples] = []
    last: list[Samples] = []
    runs = 0
    while (elapsed_s := (clock() - start) / 1e9) < duration_s or not last:
        window = _window(run, min(0.5, span_s / 4), 1, clock)
        runs += window.size
        if elapsed_s < span_s or not first:
            first.append(window)
        if elapsed_s >= duration_s - span_s:
            last.append(window)
    first_ms, last_ms = (float(np.median(np.concatenate(part))) for part in (first, last))
    return Sustained(duration_s, span_s, runs, first_ms, last_ms, last_ms / first_ms)


def median_ms(run: Run, runs: int = 15, clock: Clock = time.perf_counter_ns) -> float:
    """Returns the median of a few runs, in ms, after one that is not counted; of fewer where they take over 5 s."""
    run()
    return float(np.median(_window(run, 0.0, runs, clock, clock() + int(_FEW_RUNS_LIMIT_S * 1e9))))


def summarize(windows: list[Samples]) -> Latency:
    """Returns the statistics over all samples; the intervals and `windows_ms` use up to 200 samples of each window."""
    everything = np.concatenate(windows)
    kept = [_thin(window) for window in windows]
    p50, p90, p95, p99 = (float(value) for value in np.percentile(everything, (50, 90, 95, 99)))
    return Latency(
        p50_ms=p50,
        p90_ms=p90,
        p95_ms=p95,
        p99_ms=p99,
        mean_ms=float(everything.mean()),
        min_ms=float(everything.min()),
        max_ms=float(everything.max()),
        p50_ci95_ms=median_interval(kept),
        mean_ci95_ms=mean_interval(kept),
        windows_ms=tuple(tuple(round(value, 6) for value in window.tolist()) for window in kept),
    )


def wait_until_quiet() -> float:
    """Waits until the threads of this process sleep, so that they do not disturb the next one; returns the seconds.

    Measured: ONNX Runtime's idle threads spin for 30 to 40 ms after a run on two threads.
    """
    start = time.monotonic()
    while (waited_s := time.monotonic() - start) < _QUIET_LIMIT_S:
        before = time.process_time()
        time.sleep(_QUIET_SLICE_S)
        if time.process_time() - before < _QUIET_SHARE * _QUIET_SLICE_S:
            return waited_s
    return waited_s


def _window(run: Run, duration_s: float, min_runs: int, clock: Clock, limit: int | None = None) -> Samples:
    """Runs until both the time and the number of runs are reached, or the clock passes `limit`; once in any case."""
    times_ns: list[int] = []
    deadline = clock() + int(duration_s * 1e9)
    while len(times_ns) < min_runs or clock() < deadline:
        start = clock()
        if limit is not None and times_ns and start >= limit:
            break
        run()
        times_ns.append(clock() - start)
    return np.asarray(times_ns, np.float64) / 1e6


def _thin(window: Samples) -> Samples:
    if window.size <= _KEPT_PER_WINDOW:
        return window
    kept: Samples = window[np.linspace(0, window.size - 1, _KEPT_PER_WINDOW).astype(np.int64)]
    return kept


@contextmanager
def _no_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
