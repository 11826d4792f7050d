"""Intel and AMD processors' own energy counters (RAPL), through Linux' powercap files.

Source: Linux kernel documentation, power/powercap/powercap.rst.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from edgert.errors import DeviceError
from edgert.plugins import SensorKind, SensorReading
from edgert.profiler.energy.settings import SensorSettings

__all__ = ["RaplSensor", "counter_difference", "open_sensor"]

_ROOT = Path("/sys/class/powercap")
_RATE_HZ = 50.0


def counter_difference(start_uj: int, stop_uj: int, range_uj: int) -> int:
    """Returns stop - start of a counter that wraps to 0 after `range_uj`.

    More than one wrap cannot be seen: packages wrap after minutes at full power, so read more often than that.
    """
    return stop_uj - start_uj if stop_uj >= start_uj else stop_uj + range_uj + 1 - start_uj


class RaplSensor:
    """The packages of the machine (`intel-rapl:N`; AMD uses the same names)."""

    name = "rapl"
    accuracy = "nobody states one; 5 % is taken; a model on old parts, a measurement since Haswell"
    relative_accuracy: float | None = 0.05
    leaves_out = "memory (on most machines), disk, fans, power supply losses, everything outside the processor package"
    limit_mw = 2e6
    kind = SensorKind.COUNTER

    def __init__(self, root: Path = _ROOT, *, rate_hz: float = _RATE_HZ) -> None:
        self.rate_hz = rate_hz
        self._zones = sorted(zone for zone in root.glob("intel-rapl:*") if _is_package(zone))
        self._root = root
        self._last_uj: tuple[int, ...] = ()
        self._total_uj: list[int] = []
        self._ranges_uj: list[int] = []

    @property
    def source(self) -> str:
        """Where the counters are."""
        return f"{self._root}/intel-rapl:*/energy_uj"

    @property
    def rails(self) -> tuple[str, ...]:
        """Names of the summed rails."""
        return tuple((zone / "name").read_text().strip() for zone in self._zones)

    def unavailable(self) -> str | None:
        """Why it cannot be read, or None."""
        if not self._zones:
            return f"no RAPL counters under {self._root} (a virtual machine, a container or another processor)"
        try:
            self._counters()
        except PermissionError:
            return f"{self._zones[0] / 'energy_uj'} needs root; allow it with: sudo chmod a+r {self._root}/*/energy_uj"
        except (OSError, ValueError) as error:
            return f"{self._zones[0] / 'energy_uj'} cannot be read ({error})"
        return None

    def start(self) -> None:
        """Takes the counters' ranges: a counter that wraps goes on as if it had not."""
        try:
            self._ranges_uj = [int((zone / "max_energy_range_uj").read_text()) for zone in self._zones]
            self._last_uj = self._counters()
        except (OSError, ValueError) as error:
            raise DeviceError(f"rapl: {self.source} cannot be read ({error})") from error
        self._total_uj = [0] * len(self._zones)

    def read(self) -> SensorReading:
        """Returns the energy of each package since `start`."""
        try:
            now_uj = self._counters()
        except (OSError, ValueError) as error:
            raise DeviceError(f"rapl: {self.source} cannot be read ({error})") from error
        spent = map(counter_difference, self._last_uj, now_uj, self._ranges_uj)
        self._total_uj = [total + part for total, part in zip(self._total_uj, spent, strict=True)]
        self._last_uj = now_uj
        return SensorReading(np.array([time.monotonic()]), np.array([self._total_uj], np.float64) / 1000)

    def stop(self) -> None:
        """Nothing is held open."""

    def _counters(self) -> tuple[int, ...]:
        return tuple(int((zone / "energy_uj").read_text()) for zone in self._zones)


def open_sensor(settings: SensorSettings) -> RaplSensor:
    """Returns the sensor with `rate_hz`."""
    return RaplSensor(rate_hz=settings.number("rate_hz", _RATE_HZ, 0, 200))


def _is_package(zone: Path) -> bool:
    """True for a processor package: its cores and memory are parts of it, and `psys` holds it once more."""
    try:
        return zone.name.count(":") == 1 and (zone / "name").read_text().startswith("package")
    except OSError:
        return False
