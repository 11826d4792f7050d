"""The INA3221 power monitors of a Jetson, through the files of Linux' hwmon driver.

Source: Linux kernel documentation, hwmon/ina3221.rst; Texas Instruments, INA3221 data sheet (SBOS576).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgert.errors import DeviceError
from edgert.plugins import SensorFault, SensorKind, SensorReading
from edgert.profiler.energy.jetson_rails import choose_rails, left_out
from edgert.profiler.energy.settings import SensorSettings

__all__ = ["Ina3221Sensor", "open_sensor"]

_FOLDERS = ("sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*", "sys/class/hwmon/hwmon*")
_CHANNELS = (1, 2, 3)
_RATE_HZ = 20.0


@dataclass(frozen=True, slots=True)
class _Rail:
    voltage_mv: Path
    current_ma: Path


class Ina3221Sensor:
    """Voltage times current of the module's total, or of rails that are no part of each other."""

    name = "ina3221"
    accuracy = (
        "voltage and current within 0.25 % each (data sheet, 25 C) and shunts of 1 % (assumed); the offset of the "
        "current counts beside that below about 1 W"
    )
    relative_accuracy: float | None = 0.015
    limit_mw = 850_000.0  # 26 V and 163.8 mV over 5 mOhm
    kind = SensorKind.POLLED

    def __init__(
        self,
        root: Path = Path("/"),
        *,
        rails: str = "",
        rate_hz: float = _RATE_HZ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rate_hz = rate_hz
        self._clock = clock
        self._found = _find_rails(root)
        self._names, self._reason = choose_rails(self._found, rails)
        if not self._found:
            self._reason = f"no INA3221 under {root / 'sys/bus/i2c/drivers/ina3221'} (not a Jetson)"

    @property
    def rails(self) -> tuple[str, ...]:
        """Names of the summed rails."""
        return self._names

    @property
    def leaves_out(self) -> str:
        """What the rails do not see."""
        return left_out(self._names)

    @property
    def source(self) -> str:
        """The files that are read."""
        return ", ".join(sorted({str(self._found[name].current_ma.parent) for name in self._names}))

    def unavailable(self) -> str | None:
        """Why it cannot be read, or None."""
        if self._reason is not None:
            return self._reason
        try:
            self._powers_mw()
        except (OSError, ValueError) as error:
            return f"the INA3221 cannot be read ({error})"
        return None

    def start(self) -> None:
        """Nothing is to be done: the driver measures all the time."""

    def read(self) -> SensorReading:
        """Returns one sample; its time is the middle of the reading."""
        start_s = self._clock()
        try:
            powers = self._powers_mw()
        except FileNotFoundError as error:
            raise DeviceError(f"ina3221: {error.filename} is gone") from error
        except (OSError, ValueError) as error:
            fault = SensorFault("sensor-garbage", f"ina3221: a sample could not be read ({error})")
            return SensorReading(np.zeros(0), np.zeros((0, len(self._names))), (fault,))
        return SensorReading(np.array([(start_s + self._clock()) / 2]), np.array([powers]))

    def stop(self) -> None:
        """Nothing is held open."""

    def _powers_mw(self) -> list[float]:
        rails = [self._found[name] for name in self._names]
        return [int(rail.voltage_mv.read_text()) * int(rail.current_ma.read_text()) / 1000 for rail in rails]


def open_sensor(settings: SensorSettings) -> Ina3221Sensor:
    """Returns the sensor with `rails` (names joined by +) and `rate_hz`."""
    return Ina3221Sensor(rails=settings.text("rails", ""), rate_hz=settings.number("rate_hz", _RATE_HZ, 0, 100))


def _find_rails(root: Path) -> dict[str, _Rail]:
    """Channels that have a name, voltage and current; the driver's sum of shunts has no current."""
    rails: dict[str, _Rail] = {}
    for pattern in _FOLDERS:
        for folder in sorted(root.glob(pattern)):
            if _text(folder / "name") not in {"ina3221", "ina3221x"}:
                continue
            for channel in _CHANNELS:
                label, current = _text(folder / f"in{channel}_label"), folder / f"curr{channel}_input"
                if label not in {"", "NC"} and current.exists():
                    rails.setdefault(label, _Rail(folder / f"in{channel}_input", current))
    return rails


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""
