"""Energy over time from a sensor's samples: power by trapezoids, counters by their differences. One arithmetic for all.

Milliwatt times second is millijoule, so no factor stands anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.plugins import SensorFault, SensorKind, SensorReading

__all__ = ["EnergyCurve", "build_curve"]

_BELOW_ZERO = 0.001
_SPIKE_PERIODS = 5.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EnergyCurve:
    """Energy of all rails since the first sample: `time_s` float64[N] rises, `energy_mj` float64[N].

    `power_mw` float64[N] is the power at each sample, None where the sensor counts energy.
    """

    time_s: Floats
    energy_mj: Floats
    power_mw: Floats | None

    def covers(self, start_s: float, stop_s: float) -> bool:
        """True where samples were taken before or at the start and after or at the end of an interval."""
        return bool(self.time_s.size > 1 and self.time_s[0] <= start_s and stop_s <= self.time_s[-1])

    def energy_between_mj(self, start_s: float, stop_s: float) -> float:
        """Returns the energy of an interval that is covered; its ends are interpolated between samples."""
        return self._energy_at(stop_s) - self._energy_at(start_s)

    def count(self, start_s: float, stop_s: float) -> int:
        """Returns how many samples lie in an interval."""
        first, last = np.searchsorted(self.time_s, (start_s, stop_s))
        return int(last - first)

    def longest_gap_s(self, start_s: float, stop_s: float) -> float:
        """Returns the longest time between neighbouring samples, from the last before to the first after."""
        first = max(int(np.searchsorted(self.time_s, start_s, side="right")) - 1, 0)
        last = int(np.searchsorted(self.time_s, stop_s))
        spacing = np.diff(self.time_s[first : last + 1])
        return float(spacing.max()) if spacing.size else float("inf")

    def period_s(self) -> float:
        """Returns the median time between samples."""
        return float(np.median(np.diff(self.time_s))) if self.time_s.size > 1 else float("inf")

    def _energy_at(self, moment_s: float) -> float:
        if self.power_mw is None:
            return float(np.interp(moment_s, self.time_s, self.energy_mj))
        index = min(max(int(np.searchsorted(self.time_s, moment_s, side="right")) - 1, 0), self.time_s.size - 2)
        since_s = moment_s - self.time_s[index]
        slope = (self.power_mw[index + 1] - self.power_mw[index]) / (self.time_s[index + 1] - self.time_s[index])
        return float(self.energy_mj[index] + since_s * (self.power_mw[index] + 0.5 * slope * since_s))


def build_curve(
    reading: SensorReading, kind: SensorKind, limit_mw: float
) -> tuple[EnergyCurve, tuple[SensorFault, ...]]:
    """Returns the curve of a reading and what was wrong with its samples, one fault for each that was left out.

    A sample is left out where a rail is not a number, well below 0 or above `limit_mw`, and where its time does not
    rise. A counter keeps all samples; where it falls or rises faster than `limit_mw` allows, that is a fault.
    """
    kept, faults = _rising(reading.time_s)
    time_s, values = reading.time_s[kept], reading.values[kept]
    if kind is SensorKind.COUNTER:
        total = values.sum(axis=1)
        return EnergyCurve(time_s, total - total[:1], None), (*faults, *_counter_faults(time_s, values, limit_mw))
    sound = np.all(np.isfinite(values) & (values <= limit_mw) & (values >= -_BELOW_ZERO * limit_mw), axis=1)
    power, time_s = values[sound].sum(axis=1), time_s[sound]
    steps = 0.5 * (power[1:] + power[:-1]) * np.diff(time_s)
    curve = EnergyCurve(time_s, np.concatenate([np.zeros(min(power.size, 1)), np.cumsum(steps)]), power)
    return curve, (*faults, *(_out_of_range(row, limit_mw) for row in values[~sound]))


def _rising(time_s: Floats) -> tuple[list[int], list[SensorFault]]:
    """The samples whose times rise: one that stands far ahead of its followers is dropped, else the follower is."""
    if np.all(np.diff(time_s) > 0):
        return list(range(time_s.size)), []
    spike_s = _SPIKE_PERIODS * float(np.median(np.abs(np.diff(time_s))))
    times: list[float] = time_s.tolist()
    kept: list[int] = []
    faults = []
    for index, moment_s in enumerate(times):
        while len(kept) > 1 and times[kept[-2]] < moment_s <= times[kept[-1]] - spike_s:
            faults.append(_time_jump(times[kept.pop()], moment_s))
        if kept and moment_s <= times[kept[-1]]:
            faults.append(_time_jump(times[kept[-1]], moment_s))
        else:
            kept.append(index)
    return kept, faults


def _time_jump(before_s: float, after_s: float) -> SensorFault:
    return SensorFault("sensor-time-jump", f"a sample at {after_s:.3f} s followed one at {before_s:.3f} s")


def _out_of_range(row: Floats, limit_mw: float) -> SensorFault:
    found = ", ".join(f"{value:.6g}" for value in row.tolist())
    return SensorFault("sensor-out-of-range", f"a sample of {found} mW; a rail has 0 to {limit_mw:g} mW")


def _counter_faults(time_s: Floats, values: Floats, limit_mw: float) -> Iterator[SensorFault]:
    steps = np.diff(values, axis=0)
    if not np.all(np.isfinite(steps)):
        yield SensorFault("sensor-out-of-range", "the counter was not a number")
    elif np.any(steps < 0):
        yield SensorFault("counter-wrap", f"the counter fell by {-float(steps.min()):g} mJ; it started again")
    elif steps.size and np.any(fast := steps / np.diff(time_s)[:, None] > limit_mw):
        worst = float((steps / np.diff(time_s)[:, None])[fast].max())
        yield SensorFault(
            "sensor-out-of-range", f"the counter rose at {worst:.6g} mW; at most {limit_mw:g} is possible"
        )
