"""The USB meters UM24C, UM25C and UM34C on the laptop's (Bluetooth) serial port, in the supply of a board.

One byte asks, 130 bytes answer, big-endian: model at 0, voltage at 2, current at 4. Source: sigrok wiki, RDTech UM
series. Tested with an answer of that form, not with a real meter.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass

import numpy as np

from edgert.devices.stream import ByteStream, open_stream
from edgert.errors import DeviceError
from edgert.plugins import SensorFault, SensorKind, SensorReading

__all__ = ["MODELS", "UsbMeterSensor", "parse_answer"]

_REQUEST = b"\xf0"
_ANSWER_BYTES = 130
_ANSWER_S = 1.0
_QUIET_S = 0.01
_HEAD = struct.Struct(">HHH")


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    volt_step: float
    ampere_step: float


MODELS = {
    0x0963: _Model("um24c", 0.01, 0.001),
    0x09C9: _Model("um25c", 0.001, 0.0001),
    0x0D4C: _Model("um34c", 0.01, 0.001),
}


def parse_answer(data: bytes) -> float:
    """Returns the power in mW: voltage times current, which is finer than the power field.

    Raises:
        ValueError: it is no answer of such a meter.
    """
    if len(data) != _ANSWER_BYTES:
        raise ValueError(f"{len(data)} bytes came; an answer has {_ANSWER_BYTES}")
    number, volts, amperes = _HEAD.unpack_from(data)
    model = MODELS.get(number)
    if model is None:
        raise ValueError(f"it starts with {number:#06x}, which is none of {', '.join(f'{key:#06x}' for key in MODELS)}")
    power_mw: float = 1000 * volts * model.volt_step * amperes * model.ampere_step
    return power_mw


class UsbMeterSensor:
    """One meter; the moment of a sample is the middle between question and answer."""

    accuracy = "not known to edgert; state what the meter's manual says with ?accuracy=0.01"
    relative_accuracy: float | None = None
    leaves_out = "what is not supplied through the meter; the losses of the supply before it"
    limit_mw = 120_000.0
    kind = SensorKind.POLLED

    def __init__(self, name: str, url: str, rate_hz: float) -> None:
        self.name, self.rate_hz, self.source = name, rate_hz, url
        self._line: ByteStream | None = None

    @property
    def rails(self) -> tuple[str, ...]:
        """Where the meter sits."""
        return ("USB supply of the board",)

    def unavailable(self) -> str | None:
        """None: that shows when it is started."""
        return None

    def start(self) -> None:
        """Opens the line."""
        self._line = open_stream(self.source)

    def read(self) -> SensorReading:
        """Asks once; no answer within a second is no sample, another one than 130 bytes is a fault."""
        if self._line is None:
            raise DeviceError(f"{self.name}: read before start")
        start_s = time.monotonic()
        self._line.write(_REQUEST)
        data = self._answer(self._line)
        middle_s = (start_s + time.monotonic()) / 2
        if not data:
            return SensorReading(np.zeros(0), np.zeros((0, 1)))
        try:
            power_mw = parse_answer(data)
        except ValueError as error:
            fault = SensorFault("sensor-garbage", f"{self.name}: {error}")
            return SensorReading(np.zeros(0), np.zeros((0, 1)), (fault,))
        return SensorReading(np.array([middle_s]), np.array([[power_mw]]))

    def stop(self) -> None:
        """Closes the line."""
        line, self._line = self._line, None
        if line is not None:
            line.close()

    def _answer(self, line: ByteStream) -> bytes:
        """What came until the answer is whole or the line is quiet."""
        deadline = time.monotonic() + _ANSWER_S
        data = b""
        while len(data) < _ANSWER_BYTES and (left_s := deadline - time.monotonic()) > 0:
            data += line.read(max(left_s, _QUIET_S))
        return data
