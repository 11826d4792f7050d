"""Decides whether a measurement may be believed. Each rule has a stable code (docs/profile.md lists them)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgert.profiler.record import EnvironmentRecord, EnvironmentSample, Latency, Method, Reason, Sustained, Verdict
from edgert.profiler.statistics import window_spread

__all__ = ["INVALIDATING", "judge"]

MIN_SAMPLES = 20
MAX_WINDOW_SPREAD = 0.10
MAX_COMPETING_CORES = 0.2
MAX_CLOCK_CHANGE = 0.05
MAX_WALL_STEP_S = 0.5
MAX_SUSTAINED_RATIO = 1.05
MIN_MEMORY_BYTES = 64 << 20
MAX_MEMORY_PRESSURE = 1.0
_THROTTLED_NOW = 0xF  # Raspberry Pi firmware: under-voltage, frequency capped, throttled, soft temperature limit

INVALIDATING = frozenset({"too-few-samples", "clock-step"})
"""Codes that make a record invalid; all others degrade it."""


def judge(
    environment: EnvironmentRecord, method: Method, latency: Latency, sustained: Sustained | None = None
) -> tuple[Verdict, tuple[Reason, ...]]:
    """Returns the verdict and every reason against plain validity."""
    reasons = (
        *_method_reasons(method, latency),
        *_clock_reasons(environment),
        *_load_reasons(environment.samples()),
        *_throttle_reasons(environment.samples(), sustained),
    )
    if any(reason.code in INVALIDATING for reason in reasons):
        return Verdict.INVALID, reasons
    return (Verdict.DEGRADED if reasons else Verdict.VALID), reasons


def _method_reasons(method: Method, latency: Latency) -> Iterator[Reason]:
    if method.samples < MIN_SAMPLES:
        text = f"{method.samples} samples; at least {MIN_SAMPLES} are needed, measure for longer (--duration)"
        yield Reason("too-few-samples", text)
    if not method.steady:
        yield Reason("not-warm", "latency still drifted when the warm-up limit was reached")
    spread = window_spread([np.asarray(window) for window in latency.windows_ms])
    if spread > MAX_WINDOW_SPREAD:
        text = f"the medians of the windows differ by {spread:.0%}; at most {MAX_WINDOW_SPREAD:.0%} counts as stable"
        yield Reason("unstable-latency", text)


def _clock_reasons(environment: EnvironmentRecord) -> Iterator[Reason]:
    samples = environment.samples()
    governors = sorted({governor for sample in samples for governor in sample.governors})
    if governors and governors != ["performance"]:
        yield Reason("governor-not-performance", f"the CPU governor is {', '.join(governors)}")
    if not any(sample.clocks_mhz for sample in samples):
        yield Reason("clocks-unreadable", "this system does not show its CPU clocks, so a change would go unseen")
    else:
        yield from _clock_change(samples)
    steps = [sample.wall_s - sample.monotonic_s for sample in samples]
    step_s = max(steps) - min(steps)
    if step_s > MAX_WALL_STEP_S:
        yield Reason("clock-step", f"the system time was moved by {step_s:.1f} s during the measurement")


def _clock_change(samples: tuple[EnvironmentSample, ...]) -> Iterator[Reason]:
    peaks = [max(sample.clocks_mhz) for sample in samples[1:] if sample.clocks_mhz]  # before it starts it may idle
    if peaks and min(peaks) < max(peaks) * (1 - MAX_CLOCK_CHANGE):
        yield Reason("clocks-changed", f"the fastest core ran between {min(peaks):.0f} and {max(peaks):.0f} MHz")


def _load_reasons(samples: tuple[EnvironmentSample, ...]) -> Iterator[Reason]:
    competing = max((sample.competing_cores or 0.0 for sample in samples), default=0.0)
    if competing > MAX_COMPETING_CORES:
        yield Reason("competing-load", f"other processes used up to {competing:.1f} cores during the measurement")
    pressure = max((sample.memory_pressure_avg10 or 0.0 for sample in samples), default=0.0)
    free = min((s.memory_available_bytes for s in samples if s.memory_available_bytes is not None), default=None)
    if pressure > MAX_MEMORY_PRESSURE or (free is not None and free < MIN_MEMORY_BYTES):
        yield Reason("memory-pressure", f"memory was short: pressure {pressure:g} %, {free} bytes available")


def _throttle_reasons(samples: tuple[EnvironmentSample, ...], sustained: Sustained | None) -> Iterator[Reason]:
    flags = [sample.throttle_flags for sample in samples if sample.throttle_flags is not None]
    if any(_parse_flags(text) & _THROTTLED_NOW for text in flags):
        yield Reason("throttled", f"the firmware reported throttling or under-voltage (flags {', '.join(flags)})")
    if sustained is not None and sustained.ratio > MAX_SUSTAINED_RATIO:
        text = f"the last {sustained.span_s:.0f} s were {sustained.ratio:.2f}x as slow as the first"
        yield Reason("throttled-sustained", text)


def _parse_flags(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0
