"""Any power meter that writes lines of text: `POWER_MW GATE`, one per sample, at a fixed rate."""

from __future__ import annotations

import time

import numpy as np

from edgert.devices.stream import ByteStream, open_stream
from edgert.errors import DeviceError, UsageError
from edgert.plugins import SensorFault, SensorKind, SensorReading
from edgert.profiler.energy.arrival import arrival_times
from edgert.profiler.energy.gated import PowerSamples

__all__ = ["SerialMeterSensor", "SerialMeterStream"]

_WAIT_S = 0.05
_LONGEST_LINE = 200


class _Lines:
    """Whole lines of a serial port; the first is thrown away, since it may be cut off."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._line: ByteStream | None = None
        self._rest = b""
        self._is_first = True

    def open(self) -> None:
        self._line, self._rest, self._is_first = open_stream(self._url), b"", True

    def read(self) -> list[bytes]:
        if self._line is None:
            raise DeviceError("serial-meter: read before open")
        lines = (self._rest + self._line.read(_WAIT_S)).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST_LINE:
            raise DeviceError(f"serial-meter: {self._url} sends no lines; is the baud rate right?")
        if self._is_first and lines:
            lines, self._is_first = lines[1:], False
        return [line for line in lines if line.strip()]

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


class SerialMeterStream:
    """Lines such as `12.5 1`: power in milliwatt, gate 0 or 1, separated by blanks or a comma."""

    name = "serial-meter"
    accuracy = "that of the meter, which edgert does not know"
    leaves_out = "what is not supplied through the meter"

    def __init__(self, url: str, rate_hz: float) -> None:
        """Takes the line (serial:///dev/ttyUSB0, socket://host:4000) and samples per second.

        Raises:
            UsageError: the rate is not above 0.
        """
        if not rate_hz > 0:
            raise UsageError(f"serial-meter: rate_hz is {rate_hz:g}; it must be above 0")
        self.rate_hz = rate_hz
        self._lines = _Lines(url)

    def unavailable(self) -> str | None:
        """None: that shows when it is opened."""
        return None

    def open(self) -> None:
        """Opens the line."""
        self._lines.open()

    def read(self) -> PowerSamples:
        """Returns the samples of all whole lines that came."""
        rows = [_parse_gated(line) for line in self._lines.read()]
        power, gate = zip(*rows, strict=True) if rows else ((), ())
        return PowerSamples(np.array(power, np.float64), np.array(gate, np.bool_))

    def close(self) -> None:
        """Closes the line."""
        self._lines.close()


class SerialMeterSensor:
    """The same lines beside a Linux board: the gate may be missing, and a line that is no number is a fault."""

    name = "serial-meter"
    accuracy = SerialMeterStream.accuracy
    relative_accuracy: float | None = None
    leaves_out = SerialMeterStream.leaves_out
    kind = SensorKind.STREAM

    def __init__(self, url: str, rate_hz: float, limit_mw: float) -> None:
        self.rate_hz, self.limit_mw, self.source = rate_hz, limit_mw, url
        self._lines = _Lines(url)
        self._last_s: float | None = None

    @property
    def rails(self) -> tuple[str, ...]:
        """What the meter's leads are clipped to."""
        return ("supply of the board",)

    def unavailable(self) -> str | None:
        """None: that shows when it is started."""
        return None

    def start(self) -> None:
        """Opens the line."""
        self._lines.open()
        self._last_s = None

    def read(self) -> SensorReading:
        """Returns the samples of all whole lines that came, spread over the time since the last."""
        lines = self._lines.read()
        now_s = time.monotonic()
        found = [_power_or_fault(line) for line in lines]
        rows = [one for one in found if isinstance(one, float)]
        faults = tuple(one for one in found if isinstance(one, SensorFault))
        times_s = arrival_times(self._last_s, now_s, len(rows), 1 / self.rate_hz)
        self._last_s = now_s if rows else self._last_s
        return SensorReading(times_s, np.array(rows, np.float64).reshape(-1, 1), faults)

    def stop(self) -> None:
        """Closes the line."""
        self._lines.close()


def _parse_power(line: bytes) -> float:
    try:
        return float(_words(line)[0])
    except (ValueError, IndexError) as error:
        raise _no_sample(line) from error


def _power_or_fault(line: bytes) -> float | SensorFault:
    try:
        return _parse_power(line)
    except DeviceError as error:
        return SensorFault("sensor-garbage", str(error))


def _parse_gated(line: bytes) -> tuple[float, bool]:
    try:
        return _parse_power(line), int(_words(line)[1]) != 0
    except (ValueError, IndexError) as error:
        raise _no_sample(line) from error


def _words(line: bytes) -> list[bytes]:
    return line.replace(b",", b" ").split()


def _no_sample(line: bytes) -> DeviceError:
    text = line.decode(errors="replace").strip()[:60]
    return DeviceError(f"serial-meter: the line {text!r} is not POWER_MW GATE, as in 12.5 1")
