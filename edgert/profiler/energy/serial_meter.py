"""Any power meter that writes lines of text: `POWER_MW GATE`, one per sample, at a fixed rate."""

from __future__ import annotations

import numpy as np

from edgert.devices.stream import ByteStream, open_stream
from edgert.errors import DeviceError, UsageError
from edgert.profiler.energy.gated import PowerSamples

__all__ = ["SerialMeterStream"]

_WAIT_S = 0.05
_LONGEST_LINE = 200


class SerialMeterStream:
    """Lines such as `12.5 1`: power in milliwatt, gate 0 or 1, separated by blanks or a comma.

    The first line is thrown away, since it may be cut off.
    """

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
        self._url = url
        self._line: ByteStream | None = None
        self._rest = b""
        self._is_first = True

    def unavailable(self) -> str | None:
        """None: that shows when it is opened."""
        return None

    def open(self) -> None:
        """Opens the line."""
        self._line, self._rest, self._is_first = open_stream(self._url), b"", True

    def read(self) -> PowerSamples:
        """Returns the samples of all whole lines that came."""
        if self._line is None:
            raise DeviceError("serial-meter: read before open")
        lines = (self._rest + self._line.read(_WAIT_S)).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LONGEST_LINE:
            raise DeviceError(f"serial-meter: {self._url} sends no lines; is the baud rate right?")
        if self._is_first and lines:
            lines, self._is_first = lines[1:], False
        rows = [_parse(line) for line in lines if line.strip()]
        power, gate = zip(*rows, strict=True) if rows else ((), ())
        return PowerSamples(np.array(power, np.float64), np.array(gate, np.bool_))

    def close(self) -> None:
        """Closes the line."""
        if self._line is not None:
            self._line.close()
            self._line = None


def _parse(line: bytes) -> tuple[float, bool]:
    words = line.replace(b",", b" ").split()
    try:
        power, gate = float(words[0]), int(words[1])
    except (ValueError, IndexError) as error:
        text = line.decode(errors="replace").strip()[:60]
        raise DeviceError(f"serial-meter: the line {text!r} is not POWER_MW GATE, as in 12.5 1") from error
    return power, gate != 0
