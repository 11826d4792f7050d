"""A bench supply or meter that speaks SCPI on a serial port or socket of this computer: volts and amperes, by asking.

Source: SCPI-99, volume 2, chapter 3 (MEASure). `MEAS:VOLT?` and `MEAS:CURR?` are answered by one number and a line
feed each. Tested with answers of that form, not with an instrument.
"""

from __future__ import annotations

import time

import numpy as np

from edgert.devices.stream import ByteStream, open_stream
from edgert.errors import DeviceError, UsageError
from edgert.plugins import SensorFault, SensorKind, SensorReading
from edgert.profiler.energy.settings import SensorSettings

__all__ = ["ScpiSensor", "open_sensor"]

_ANSWER_S = 1.0
_RATE_HZ = 5.0
_LIMIT_MW = 1e6


class ScpiSensor:
    """One channel; the moment of a sample is the middle of both questions."""

    name = "scpi"
    accuracy = "that of the instrument; state it with ?accuracy=0.001"
    relative_accuracy: float | None = None
    leaves_out = "what is not supplied through the instrument; the losses of the supply itself"
    limit_mw = _LIMIT_MW
    kind = SensorKind.POLLED

    def __init__(self, url: str, *, volts: str, amperes: str, rate_hz: float) -> None:
        self.source, self.rate_hz = url, rate_hz
        self._questions = (volts, amperes)
        self._line: ByteStream | None = None

    @property
    def rails(self) -> tuple[str, ...]:
        """What the instrument supplies."""
        return ("supply of the board",)

    def unavailable(self) -> str | None:
        """None: that shows when it is started."""
        return None

    def start(self) -> None:
        """Opens the line."""
        self._line = open_stream(self.source)

    def read(self) -> SensorReading:
        """Asks for volts and amperes; no answer within a second, or no number, is a fault."""
        if self._line is None:
            raise DeviceError("scpi: read before start")
        start_s = time.monotonic()
        try:
            volts, amperes = (_ask(self._line, question) for question in self._questions)
        except ValueError as error:
            return SensorReading(np.zeros(0), np.zeros((0, 1)), (SensorFault("sensor-garbage", f"scpi: {error}"),))
        middle_s = (start_s + time.monotonic()) / 2
        return SensorReading(np.array([middle_s]), np.array([[1000 * volts * amperes]]))

    def stop(self) -> None:
        """Closes the line."""
        line, self._line = self._line, None
        if line is not None:
            line.close()


def open_sensor(settings: SensorSettings) -> ScpiSensor:
    """Returns the instrument at `scpi:URL` with `volts` and `amperes` (what to ask), `rate_hz` and `baud`.

    Raises:
        UsageError: there is no URL.
    """
    if not settings.place:
        raise UsageError("write --energy 'scpi:socket://192.168.1.5:5025' or 'scpi:serial:///dev/ttyUSB0?baud=9600'")
    baud = settings.text("baud", "")
    return ScpiSensor(
        f"{settings.place}?baud={baud}" if baud else settings.place,
        volts=settings.text("volts", "MEAS:VOLT?"),
        amperes=settings.text("amperes", "MEAS:CURR?"),
        rate_hz=settings.number("rate_hz", _RATE_HZ, 0, 100),
    )


def _ask(line: ByteStream, question: str) -> float:
    line.write(question.encode() + b"\n")
    deadline = time.monotonic() + _ANSWER_S
    answer = b""
    while not answer.endswith(b"\n") and (left_s := deadline - time.monotonic()) > 0:
        answer += line.read(left_s)
    try:
        return float(answer)
    except ValueError as error:
        text = answer.decode(errors="replace").strip()[:60]
        raise ValueError(f"{question} was answered by {text!r}, which is no number") from error
