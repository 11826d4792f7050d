"""Decides whether a measurement may be believed. Each rule has a stable code (docs/profile.md lists them)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from edgert.profiler.record import EnvironmentRecord, EnvironmentSample, Latency, Method, Reason, Sustained, Verdict
from edgert.profiler.statistics import window_spread
from edgert.profiler.throttling import parse_flags

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
_OCCURRED_SHIFT = 16  # the same four bits once more: has occurred since the board started
_FLAG_WORDS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")

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
        *_throttle_reasons(environment, sustained),
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
    locked = all(sample.clocks_locked for sample in samples)  # jetson_clocks, whatever the governor is
    if governors and governors != ["performance"] and not locked:
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
    competing = [sample.competing_cores or 0.0 for sample in samples]
    disturbed = sum(cores > MAX_COMPETING_CORES for cores in competing)
    if disturbed:
        text = f"other processes used up to {max(competing):.1f} cores, in {disturbed} of {len(samples)} samples"
        yield Reason("competing-load", text)
    pressure = max((sample.memory_pressure_avg10 or 0.0 for sample in samples), default=0.0)
    free = min((s.memory_available_bytes for s in samples if s.memory_available_bytes is not None), default=None)
    if pressure > MAX_MEMORY_PRESSURE or (free is not None and free < MIN_MEMORY_BYTES):
        yield Reason("memory-pressure", f"memory was short: pressure {pressure:g} %, {free} bytes available")


def _throttle_reasons(environment: EnvironmentRecord, sustained: Sustained | None) -> Iterator[Reason]:
    samples = environment.samples()
    yield from _flag_reasons(samples)
    cooling = sorted({name for sample in samples for name, state in sample.cooling.items() if state > 0})
    if cooling:
        yield Reason("throttled", f"the system slowed the board down to cool it ({', '.join(cooling)})")
    first, last = samples[0].throttle_counts, samples[-1].throttle_counts
    risen = [f"{name} by {last[name] - first[name]}" for name in last if last[name] > first.get(name, last[name])]
    if risen:
        yield Reason("throttle-occurred", f"counters of throttling rose: {', '.join(risen)}")
    if environment.unreadable:
        yield Reason("throttle-unreadable", f"throttling would go unseen: {'; '.join(environment.unreadable)}")
    if sustained is not None and sustained.ratio > MAX_SUSTAINED_RATIO:
        text = f"the last {sustained.span_s:.0f} s were {sustained.ratio:.2f}x as slow as the first"
        yield Reason("throttled-sustained", text)


def _flag_reasons(samples: Sequence[EnvironmentSample]) -> Iterator[Reason]:
    """What the firmware of a Raspberry Pi says; bits that were already set before it began do not count as occurred."""
    flags = [parse_flags(sample.throttle_flags) or 0 for sample in samples if sample.throttle_flags is not None]
    now = [_words(value & _THROTTLED_NOW) for value in flags if value & _THROTTLED_NOW]
    if now:
        text = f"the firmware reported {now[0]} in {len(now)} of {len(flags)} samples (flags {_flags_text(samples)})"
        yield Reason("throttled", text)
    fresh = (flags[-1] & ~flags[0]) >> _OCCURRED_SHIFT & _THROTTLED_NOW if flags else 0
    if fresh:
        text = f"the firmware says that {_words(fresh)} occurred during the measurement (flags {_flags_text(samples)})"
        yield Reason("throttle-occurred", text)


def _flags_text(samples: Sequence[EnvironmentSample]) -> str:
    """The different flags in the order in which they were seen."""
    return ", ".join(dict.fromkeys(sample.throttle_flags for sample in samples if sample.throttle_flags is not None))


def _words(bits: int) -> str:
    return ", ".join(word for index, word in enumerate(_FLAG_WORDS) if bits >> index & 1)
