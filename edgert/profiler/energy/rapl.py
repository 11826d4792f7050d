"""Intel and AMD processors' own energy counters (RAPL), through Linux' powercap files."""

from __future__ import annotations

from pathlib import Path

__all__ = ["RaplSensor", "counter_difference"]

_ROOT = Path("/sys/class/powercap")


def counter_difference(start_uj: int, stop_uj: int, range_uj: int) -> int:
    """Returns stop - start of a counter that wraps to 0 after `range_uj`.

    More than one wrap cannot be seen: packages wrap after minutes at full power, so read more often than that.
    """
    return stop_uj - start_uj if stop_uj >= start_uj else stop_uj + range_uj + 1 - start_uj


class RaplSensor:
    """Sums the packages of the machine (`intel-rapl:N`; AMD uses the same names)."""

    name = "rapl"
    accuracy = "counter of the processor; a model on old parts, a measurement since Haswell; +-5 % is commonly found"
    leaves_out = "memory (on most machines), disk, fans, power supply losses, everything outside the processor package"
    rate_hz = 1000.0

    def __init__(self, root: Path = _ROOT) -> None:
        self._zones = sorted(zone for zone in root.glob("intel-rapl:*") if _is_package(zone))
        self._root = root
        self._start: tuple[int, ...] = ()

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
        """Begins an interval."""
        self._start = self._counters()

    def stop_mj(self) -> float:
        """Returns the energy since `start` in millijoule, all rails together."""
        ranges = [int((zone / "max_energy_range_uj").read_text()) for zone in self._zones]
        spent = map(counter_difference, self._start, self._counters(), ranges)
        return sum(spent) / 1000

    def _counters(self) -> tuple[int, ...]:
        return tuple(int((zone / "energy_uj").read_text()) for zone in self._zones)


def _is_package(zone: Path) -> bool:
    """True for a processor package: its cores and memory are parts of it, and `psys` holds it once more."""
    try:
        return zone.name.count(":") == 1 and (zone / "name").read_text().startswith("package")
    except OSError:
        return False
