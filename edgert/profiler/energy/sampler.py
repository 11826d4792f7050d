"""Reads a sensor on a thread of its own while something else runs, and keeps what it gave."""

from __future__ import annotations

import threading
import time

import numpy as np

from edgert.plugins import EnergySensor, SensorFault, SensorKind, SensorReading

__all__ = ["Sampler", "join_readings"]

_FASTEST_READS_S = 0.001
_PATIENCE_PERIODS = 2.5
_PATIENCE_S = 1.0
_LONGEST_WAIT_S = 60.0
_END_S = 10.0
_LOOK_S = 0.005


class Sampler:
    """One stretch of sampling: `start`, and `stop` gives all samples.

    A sensor that fails ends the stretch; what it gave until then stays, with the fault `sensor-stopped`.
    """

    def __init__(self, sensor: EnergySensor) -> None:
        self._sensor = sensor
        self._readings: list[SensorReading] = []
        self._ending = threading.Event()
        self._last_s = -1.0
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins, and waits for the first sample; a sensor that does not even start is a fault too."""
        try:
            self._sensor.start()
        except Exception as error:  # sensors of third parties raise what they like
            self._readings.append(_stopped(self._sensor, error))
            return
        self._thread = threading.Thread(target=self._sample, name="energy sensor", daemon=True)
        self._thread.start()
        self._wait_for_sample(0.0)

    def stop(self) -> SensorReading:
        """Waits for a sample after this call, ends and returns everything."""
        self._wait_for_sample(time.monotonic())
        self._ending.set()
        if self._thread is not None:
            self._thread.join(_END_S)
            self._thread = None
        self._sensor.stop()
        return join_readings(self._readings, len(self._sensor.rails))

    def _wait_for_sample(self, after_s: float) -> None:
        """Waits until a sample is later than that: 2.5 periods and a second at most, not for a sensor that failed."""
        deadline = time.monotonic() + min(_PATIENCE_PERIODS / self._sensor.rate_hz + _PATIENCE_S, _LONGEST_WAIT_S)
        while self._is_running() and self._last_s <= after_s and time.monotonic() < deadline:
            time.sleep(_LOOK_S)

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _sample(self) -> None:
        period_s = 1 / self._sensor.rate_hz
        due_s = time.monotonic()
        try:
            while not self._ending.is_set():
                reading = self._sensor.read()
                self._readings.append(reading)
                if reading.time_s.size:
                    self._last_s = float(reading.time_s[-1])
                if self._sensor.kind is not SensorKind.STREAM:
                    due_s = max(due_s + period_s, time.monotonic() + _FASTEST_READS_S)
                    self._ending.wait(due_s - time.monotonic())
        except Exception as error:  # as above
            self._readings.append(_stopped(self._sensor, error))


def join_readings(readings: list[SensorReading], rails: int) -> SensorReading:
    """Returns the readings as one."""
    faults = tuple(fault for reading in readings for fault in reading.faults)
    given = [reading for reading in readings if reading.time_s.size]
    if not given:
        return SensorReading(np.zeros(0), np.zeros((0, rails)), faults)
    time_s = np.concatenate([reading.time_s for reading in given])
    return SensorReading(time_s, np.concatenate([reading.values for reading in given]), faults)


def _stopped(sensor: EnergySensor, error: Exception) -> SensorReading:
    fault = SensorFault("sensor-stopped", f"{sensor.name} does not answer ({error})")
    return SensorReading(np.zeros(0), np.zeros((0, len(sensor.rails))), (fault,))
