"""Energy on the device itself: the idle baseline, then windows of runs with a sensor read beside them.

These windows are not those of the latency: reading a sensor takes time from the processor that the model runs on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from edgert.plugins import EnergySensor, SensorReading
from edgert.profiler.energy.evaluate import EnergyOutcome, Interval, Intervals, evaluate, no_energy
from edgert.profiler.energy.sampler import Sampler
from edgert.profiler.energy.schedule import MIN_SAMPLES, Schedule, plan_schedule
from edgert.profiler.record import Reason

__all__ = ["EnergyMeasurement", "open_measurement"]

_SETTLE_S = 0.5
_MIN_RUNS = 3


@dataclass(slots=True)
class EnergyMeasurement:
    """Idle, then runs. Without a `sensor` but with a `schedule` somebody else reads a meter meanwhile.

    `intervals` are then what that other needs.
    """

    sensor: EnergySensor | None
    schedule: Schedule | None
    outcome: EnergyOutcome
    _idle: list[Interval] = field(default_factory=list)
    _windows: list[Interval] = field(default_factory=list)
    _readings: list[SensorReading] = field(default_factory=list)

    @property
    def intervals(self) -> Intervals:
        """When the device idled and when it ran, on its own `time.monotonic`."""
        return Intervals(tuple(self._idle), tuple(self._windows))

    def measure_idle(self) -> None:
        """Waits, with the model not loaded yet."""
        if self.schedule is not None:
            self._sampled(self._rest)
            self._allow_for_pace(self.schedule)

    def measure_runs(self, run: Callable[[], object]) -> EnergyOutcome:
        """Runs the windows, waits once more, and returns the energy of one run."""
        if self.schedule is None:
            return self.outcome
        self._sampled(lambda: self._work(run))
        if self.sensor is None:
            return self.outcome
        return evaluate(self.sensor, self._readings, self.intervals)

    def _allow_for_pace(self, schedule: Schedule) -> None:
        """Lengthens the windows where the sensor turned out to be slower than it says."""
        times_s = self._readings[-1].time_s if self._readings else np.zeros(0)
        if times_s.size < MIN_SAMPLES:
            return
        slower = plan_schedule(1 / float(np.median(np.diff(times_s))), schedule.windows * schedule.window_s)
        if isinstance(slower, Schedule):
            self.schedule = Schedule(schedule.windows, slower.window_s, max(schedule.idle_s, slower.idle_s))

    def _sampled(self, action: Callable[[], None]) -> None:
        if self.sensor is None:
            action()
            return
        sampler = Sampler(self.sensor)
        sampler.start()
        try:
            action()
        finally:
            self._readings.append(sampler.stop())

    def _work(self, run: Callable[[], object]) -> None:
        assert self.schedule is not None
        for _ in range(self.schedule.windows):
            self._windows.append(_run_window(run, self.schedule.window_s))
        time.sleep(_SETTLE_S)
        self._rest()

    def _rest(self) -> None:
        assert self.schedule is not None
        start_s = time.monotonic()
        time.sleep(self.schedule.idle_s)
        self._idle.append(Interval(start_s, time.monotonic()))


def open_measurement(
    choice: tuple[EnergySensor | None, str], duration_s: float, schedule: Schedule | None = None
) -> EnergyMeasurement:
    """Returns the measurement that a choice of sensor allows.

    Args:
        choice: the sensor, or None and why there is none.
        duration_s: how long the windows take together, or longer.
        schedule: in place of a sensor: another computer reads a meter meanwhile, and asks for this.
    """
    sensor, reason = choice
    if schedule is not None:
        return EnergyMeasurement(None, schedule, EnergyOutcome(None, "another computer reads the meter"))
    if sensor is None:
        return EnergyMeasurement(None, None, EnergyOutcome(None, reason))
    planned = plan_schedule(sensor.rate_hz, duration_s)
    if isinstance(planned, Reason):
        return EnergyMeasurement(sensor, None, no_energy(planned))
    return EnergyMeasurement(sensor, planned, EnergyOutcome(None, reason))


def _run_window(run: Callable[[], object], duration_s: float) -> Interval:
    start_s, runs = time.monotonic(), 0
    while runs < _MIN_RUNS or time.monotonic() < start_s + duration_s:
        run()
        runs += 1
    return Interval(start_s, time.monotonic(), runs)
