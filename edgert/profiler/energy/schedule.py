"""How long to measure energy with a sensor of a given rate."""

from __future__ import annotations

from dataclasses import dataclass

from edgert.profiler.record import Reason

__all__ = ["MIN_SAMPLES", "MIN_WINDOWS", "Schedule", "plan_schedule"]

MIN_SAMPLES = 5
"""Samples that a window must have."""
MIN_WINDOWS = 5
"""Windows that must have them."""

_WINDOWS = 10
_SHORTEST_WINDOW_S = 0.2
_SPARE_SAMPLES = 3
_LONGEST_WINDOW_S = 20.0
_IDLE_S = 2.0
_IDLE_SAMPLES = 12
_CLOCK_ERRORS = 60.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Windows of a length each, and how long the idle baseline takes, before and again after."""

    windows: int
    window_s: float
    idle_s: float


def plan_schedule(rate_hz: float, duration_s: float, clock_error_s: float = 0.0) -> Schedule | Reason:
    """Returns ten windows, together `duration_s` or as much longer as the sensor needs; or that it is too slow.

    Where a meter on another computer is read, a window is also 60 times as long as its clock is uncertain.
    """
    least_s = max((MIN_SAMPLES + _SPARE_SAMPLES) / rate_hz, _CLOCK_ERRORS * clock_error_s, _SHORTEST_WINDOW_S)
    window_s = max(duration_s / _WINDOWS, least_s)
    if least_s > _LONGEST_WINDOW_S:
        text = f"at {rate_hz:g} samples a second a window would take {least_s:.0f} s; at most {_LONGEST_WINDOW_S:g}"
        return Reason("sensor-too-slow", text)
    return Schedule(_WINDOWS, window_s, max(_IDLE_S, _IDLE_SAMPLES / rate_hz))
