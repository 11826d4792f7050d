"""A streaming power meter (PPK2, Joulescope) beside a board that has no wire to its digital input."""

from __future__ import annotations

import time

from edgert.plugins import SensorKind, SensorReading
from edgert.profiler.energy.arrival import arrival_times
from edgert.profiler.energy.gated import PowerStream

__all__ = ["StreamSensor"]


class StreamSensor:
    """The stream's samples with the times at which they came; the gate is not looked at."""

    kind = SensorKind.STREAM
    relative_accuracy: float | None = None

    def __init__(self, stream: PowerStream, limit_mw: float) -> None:
        self.name, self.accuracy, self.leaves_out = stream.name, stream.accuracy, stream.leaves_out
        self.rate_hz, self.limit_mw = stream.rate_hz, limit_mw
        self.source = f"{stream.name} on the computer that runs edgert"
        self._stream = stream
        self._last_s: float | None = None

    @property
    def rails(self) -> tuple[str, ...]:
        """What the meter's leads are clipped to."""
        return ("supply of the board",)

    def unavailable(self) -> str | None:
        """Why it cannot be read here, or None."""
        return self._stream.unavailable()

    def start(self) -> None:
        """Begins to stream."""
        self._last_s = None
        self._stream.open()

    def read(self) -> SensorReading:
        """Returns what came, spread over the time since the last."""
        power_mw = self._stream.read().power_mw
        now_s = time.monotonic()
        times_s = arrival_times(self._last_s, now_s, power_mw.size, 1 / self.rate_hz)
        self._last_s = now_s if power_mw.size else self._last_s
        return SensorReading(times_s, power_mw.reshape(-1, 1))

    def stop(self) -> None:
        """Ends the stream."""
        self._stream.close()
