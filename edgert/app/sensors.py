"""Temperature, power and memory of this computer once a second, in a thread of its own: reading some takes 10 ms."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from edgert.errors import EdgertError
from edgert.plugins import EnergySensor, SensorKind
from edgert.profiler.energy import choose_sensor
from edgert.profiler.environment import EnvironmentReader, read_memory_bytes

__all__ = ["SensorState", "SensorThread"]


@dataclass(frozen=True, slots=True)
class SensorState:
    """The newest readings; None where nothing here tells. `power_reason` says why there is no power."""

    temperature_c: float | None = None
    power_mw: float | None = None
    memory_bytes: int | None = None
    power_source: str | None = None
    power_reason: str = ""


class SensorThread:
    """Reads until closed."""

    def __init__(self, energy: str = "auto", every_s: float = 1.0) -> None:
        self._energy, self._every_s = energy, every_s
        self._sensor, reason = _started(energy)
        self.state = SensorState(memory_bytes=read_memory_bytes("VmRSS"), power_reason=reason)
        self._counter: tuple[float, float] | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sensors", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and frees the sensor."""
        self._closed.set()
        self._thread.join(timeout=5)

    def _work(self) -> None:
        environment = EnvironmentReader()
        while not self._closed.wait(self._every_s):
            temperatures = environment.sample().temperatures_c
            power_mw, reason = self._power()
            self.state = SensorState(
                temperature_c=max(temperatures.values(), default=None),
                power_mw=power_mw,
                memory_bytes=read_memory_bytes("VmRSS"),
                power_source=self._sensor.name if self._sensor else None,
                power_reason=reason,
            )
        if self._sensor is not None:
            self._sensor.stop()

    def _power(self) -> tuple[float | None, str]:
        """Mean power in milliwatt since the last call, or None and why."""
        if self._sensor is None:
            return None, self.state.power_reason
        try:
            reading = self._sensor.read()
        except EdgertError as error:
            return None, str(error)
        if not reading.time_s.size:
            return None, "the sensor gave no sample"
        sums = reading.values.sum(axis=1)
        if self._sensor.kind is not SensorKind.COUNTER:
            return float(np.mean(sums)), ""
        before, self._counter = self._counter, (float(reading.time_s[-1]), float(sums[-1]))
        if before is None or self._counter[0] <= before[0]:
            return None, "the first reading of a counter"
        return (self._counter[1] - before[1]) / (self._counter[0] - before[0]), ""


def _started(words: str) -> tuple[EnergySensor | None, str]:
    sensor, reason = choose_sensor(words)
    if sensor is None:
        return None, reason
    try:
        sensor.start()
    except EdgertError as error:
        return None, str(error)
    return sensor, ""
