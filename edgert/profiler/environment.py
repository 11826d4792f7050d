"""The state of the device around a measurement, from /proc and /sys; everything unreadable stays None or empty.

`root` exists so that the readers can be tried on recorded trees of other boards.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from edgert.profiler.record import EnvironmentRecord, EnvironmentSample
from edgert.profiler.system_files import number_of, read_fields, read_text
from edgert.profiler.throttling import ThrottleReader, read_power_mode

__all__ = ["EnvironmentReader", "read_memory_bytes"]

_ROOT = Path("/")
_CPUS = "sys/devices/system/cpu"
_GPU_CLOCKS = ("sys/class/devfreq/*.gpu/cur_freq", "sys/class/devfreq/*.g[av]1[01]b/cur_freq")  # Jetson: ga10b, gv11b
_OFF_BELOW_C = -100.0  # zones of units that are switched off read -256
_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal of /proc/stat


def read_memory_bytes(field: str, root: Path = _ROOT) -> int | None:
    """Returns VmRSS (now) or VmHWM (peak) of this process in bytes, or None."""
    value = read_fields(root / "proc/self/status").get(field)
    return None if value is None else value * 1024


class EnvironmentReader:
    """Takes samples; each knows what other processes used since the one before."""

    def __init__(self, root: Path = _ROOT) -> None:
        self._root = root
        self._last: tuple[float, float, float] | None = None
        self._throttling = ThrottleReader(root)

    def sample(self) -> EnvironmentSample:
        """Returns the state now."""
        root = self._root
        load = (read_text(root / "proc/loadavg") or "").split()
        available = read_fields(root / "proc/meminfo").get("MemAvailable")
        return EnvironmentSample(
            monotonic_s=time.monotonic(),
            wall_s=time.time(),
            governors=self._per_cpu("scaling_governor"),
            clocks_mhz=self._clocks_mhz("scaling_cur_freq"),
            temperatures_c=_temperatures(root),
            throttle_flags=self._throttling.flags(),
            load_average_1m=number_of(load[0]) if load else None,
            competing_cores=self._competing_cores(),
            memory_available_bytes=None if available is None else available * 1024,
            memory_pressure_avg10=_pressure(read_text(root / "proc/pressure/memory") or ""),
            clocks_locked=self._clocks_locked(),
            gpu_clock_mhz=_gpu_clock_mhz(root),
            cooling=self._throttling.cooling(),
            throttle_counts=self._throttling.counts(),
        )

    def record(self, before: EnvironmentSample, during: list[EnvironmentSample]) -> EnvironmentRecord:
        """Returns the whole of a measurement, which ends with a sample taken now."""
        after, mode = self.sample(), read_power_mode(self._root)
        return EnvironmentRecord(before, tuple(during), after, mode, self._throttling.unreadable)

    def _clocks_mhz(self, name: str) -> tuple[float, ...]:
        return tuple(float(value) / 1000 for value in self._per_cpu(name) if value.isdigit())

    def _clocks_locked(self) -> bool | None:
        """Whether no core may change its clock: what jetson_clocks does, whatever the governor is called."""
        low, high = self._clocks_mhz("scaling_min_freq"), self._clocks_mhz("scaling_max_freq")
        return low == high if low and high else None

    def _per_cpu(self, name: str) -> tuple[str, ...]:
        folders = sorted((self._root / _CPUS).glob("cpu[0-9]*/cpufreq"), key=lambda folder: folder.parent.name)
        values = (read_text(folder / name) for folder in folders)
        return tuple(value for value in values if value is not None)

    def _competing_cores(self) -> float | None:
        busy_s = _busy_s(read_text(self._root / "proc/stat") or "")
        if busy_s is None:
            return None
        own = os.times()
        now = (time.monotonic(), busy_s, own.user + own.system + own.children_user + own.children_system)
        last, self._last = self._last, now
        if last is None or now[0] - last[0] < 0.05:  # /proc/stat counts in steps of 10 ms
            return None
        elapsed, busy, mine = (new - old for new, old in zip(now, last, strict=True))
        return round(max(0.0, (busy - mine) / elapsed), 3)


def _temperatures(root: Path) -> dict[str, float]:
    found = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        value = number_of(read_text(zone / "temp"))
        if value is not None and value / 1000 > _OFF_BELOW_C:
            found[f"{zone.name}:{read_text(zone / 'type') or 'unknown'}"] = value / 1000
    return found


def _gpu_clock_mhz(root: Path) -> float | None:
    paths = (path for pattern in _GPU_CLOCKS for path in sorted(root.glob(pattern)))
    clock_hz = next((clock for path in paths if (clock := number_of(read_text(path))) is not None), None)
    return None if clock_hz is None else clock_hz / 1e6


def _pressure(text: str) -> float | None:
    for line in text.splitlines():
        if line.startswith("some "):
            values = {key: value for key, _, value in (word.partition("=") for word in line.split()[1:])}
            return number_of(values.get("avg10"))
    return None


def _busy_s(stat: str) -> float | None:
    words = stat.partition("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu":
        return None
    ticks = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
    return sum(int(words[1 + index]) for index in _BUSY_FIELDS) / ticks
