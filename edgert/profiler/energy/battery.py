"""The battery's own gauge, through Linux' power_supply files: the whole device, but seldom and coarse.

Source: Linux kernel documentation, ABI/testing/sysfs-class-power.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgert.errors import DeviceError
from edgert.plugins import SensorFault, SensorKind, SensorReading
from edgert.profiler.energy.settings import SensorSettings

__all__ = ["BatterySensor", "open_sensor"]

_ROOT = Path("/sys/class/power_supply")
_RATE_HZ = 1.0


class BatterySensor:
    """Every battery that discharges; while one is charged, what it gives is not what the device takes."""

    name = "battery"
    accuracy = "nobody states one; gauges average over seconds to a minute"
    relative_accuracy: float | None = None
    leaves_out = "nothing of the device, screen included; whatever else runs is in it"
    limit_mw = 500_000.0
    kind = SensorKind.POLLED

    def __init__(
        self, root: Path = _ROOT, *, rate_hz: float = _RATE_HZ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate_hz = rate_hz
        self._clock = clock
        self._batteries = [path for path in sorted(root.glob("*")) if _is_battery(path)]
        self._root = root

    @property
    def rails(self) -> tuple[str, ...]:
        """Names of the batteries."""
        return tuple(path.name for path in self._batteries)

    @property
    def source(self) -> str:
        """The files that are read."""
        return f"{self._root}/{{{','.join(self.rails)}}}/power_now"

    def unavailable(self) -> str | None:
        """Why it cannot be read, or None."""
        if not self._batteries:
            return f"no battery under {self._root}"
        try:
            self._powers_mw()
        except (OSError, ValueError, DeviceError) as error:
            return f"the battery cannot be read ({error})"
        return None

    def start(self) -> None:
        """Nothing is to be done."""

    def read(self) -> SensorReading:
        """Returns one sample."""
        try:
            row = self._powers_mw()
        except FileNotFoundError as error:
            raise DeviceError(f"battery: {error.filename} is gone") from error
        except (OSError, ValueError) as error:
            fault = SensorFault("sensor-garbage", f"battery: a sample could not be read ({error})")
            return SensorReading(np.zeros(0), np.zeros((0, len(self._batteries))), (fault,))
        return SensorReading(np.array([self._clock()]), np.array([row]))

    def stop(self) -> None:
        """Nothing is held open."""

    def _powers_mw(self) -> list[float]:
        for battery in self._batteries:
            status = (battery / "status").read_text().strip()
            if status != "Discharging":
                raise DeviceError(f"battery: {battery.name} is {status.lower() or 'in no state'}; unplug the charger")
        return [_power_mw(battery) for battery in self._batteries]


def open_sensor(settings: SensorSettings) -> BatterySensor:
    """Returns the sensor with `rate_hz`."""
    return BatterySensor(rate_hz=settings.number("rate_hz", _RATE_HZ, 0, 10))


def _is_battery(path: Path) -> bool:
    """True for a battery of the system, not one of a mouse."""
    try:
        scope = (path / "scope").read_text().strip() if (path / "scope").exists() else "System"
        return (path / "type").read_text().strip() == "Battery" and scope == "System"
    except OSError:
        return False


def _power_mw(battery: Path) -> float:
    """Power, or current times voltage: microwatt, microampere and microvolt; some drivers give a sign."""
    if (battery / "power_now").exists():
        return abs(int((battery / "power_now").read_text())) / 1000
    current_ua, voltage_uv = (int((battery / name).read_text()) for name in ("current_now", "voltage_now"))
    return abs(current_ua) * voltage_uv / 1e9
