"""The state of the device around a measurement, from /proc and /sys; everything unreadable stays None or empty.

`root` exists so that the readers can be tried on recorded trees of other boards.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from edgert.profiler.record import DeviceFacts, EnvironmentSample

__all__ = ["EnvironmentReader", "read_device", "read_memory_bytes"]

_ROOT = Path("/")
_CPUS = "sys/devices/system/cpu"
_THROTTLE = "sys/devices/platform/soc/soc:firmware/get_throttled"  # Raspberry Pi: the firmware's bits, hexadecimal
_BUSY_FIELDS = (0, 1, 2, 5, 6, 7)  # user, nice, system, irq, softirq, steal of /proc/stat


def read_device(root: Path = _ROOT) -> DeviceFacts:
    """Returns what this system says about its board and processor."""
    board = _text(root / "proc/device-tree/model") or _text(root / "sys/class/dmi/id/product_name")
    soc = _cpu_name(_text(root / "proc/cpuinfo") or "") or _compatible(root) or platform.processor() or None
    cores = os.cpu_count()
    memory = _fields(_text(root / "proc/meminfo") or "").get("MemTotal")
    return DeviceFacts(
        name=board or soc or platform.machine(),
        board=board,
        soc=soc,
        architecture=platform.machine(),
        cores=cores,
        ram_bytes=None if memory is None else memory * 1024,
        system=platform.system(),
        kernel=platform.release(),
    )


def read_memory_bytes(field: str, root: Path = _ROOT) -> int | None:
    """Returns VmRSS (now) or VmHWM (peak) of this process in bytes, or None."""
    value = _fields(_text(root / "proc/self/status") or "").get(field)
    return None if value is None else value * 1024


class EnvironmentReader:
    """Takes samples; each knows what other processes used since the one before."""

    def __init__(self, root: Path = _ROOT) -> None:
        self._root = root
        self._last: tuple[float, float, float] | None = None

    def sample(self) -> EnvironmentSample:
        """Returns the state now."""
        root = self._root
        pressure = _text(root / "proc/pressure/memory") or ""
        available = _fields(_text(root / "proc/meminfo") or "").get("MemAvailable")
        load = (_text(root / "proc/loadavg") or "").split()
        return EnvironmentSample(
            monotonic_s=time.monotonic(),
            wall_s=time.time(),
            governors=self._per_cpu("scaling_governor"),
            clocks_mhz=tuple(float(value) / 1000 for value in self._per_cpu("scaling_cur_freq") if value.isdigit()),
            temperatures_c=_temperatures(root),
            throttle_flags=_text(root / _THROTTLE),
            load_average_1m=_number(load[0]) if load else None,
            competing_cores=self._competing_cores(),
            memory_available_bytes=None if available is None else available * 1024,
            memory_pressure_avg10=_pressure(pressure),
        )

    def _per_cpu(self, name: str) -> tuple[str, ...]:
        folders = sorted((self._root / _CPUS).glob("cpu[0-9]*/cpufreq"), key=lambda folder: folder.parent.name)
        values = (_text(folder / name) for folder in folders)
        return tuple(value for value in values if value is not None)

    def _competing_cores(self) -> float | None:
        busy_s = _busy_s(_text(self._root / "proc/stat") or "")
        if busy_s is None:
            return None
        own = os.times()
        now = (time.monotonic(), busy_s, own.user + own.system + own.children_user + own.children_system)
        last, self._last = self._last, now
        if last is None or now[0] - last[0] < 0.05:  # /proc/stat counts in steps of 10 ms
            return None
        elapsed, busy, mine = (new - old for new, old in zip(now, last, strict=True))
        return round(max(0.0, (busy - mine) / elapsed), 3)


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _fields(text: str) -> dict[str, int]:
    """`Name:   123 kB` lines as numbers."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name.strip()] = int(words[0])
    return found


def _cpu_name(cpuinfo: str) -> str | None:
    for key in ("model name", "Model", "Hardware"):
        for line in cpuinfo.splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key and value.strip():
                return value.strip()
    return None


def _compatible(root: Path) -> str | None:
    text = _text(root / "proc/device-tree/compatible")
    return text.split("\0")[-1] if text else None


def _temperatures(root: Path) -> dict[str, float]:
    found = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        value = _number(_text(zone / "temp"))
        if value is not None:
            found[f"{zone.name}:{_text(zone / 'type') or 'unknown'}"] = value / 1000
    return found


def _pressure(text: str) -> float | None:
    for line in text.splitlines():
        if line.startswith("some "):
            values = {key: value for key, _, value in (word.partition("=") for word in line.split()[1:])}
            return _number(values.get("avg10"))
    return None


def _busy_s(stat: str) -> float | None:
    words = stat.partition("\n")[0].split()
    if len(words) < 9 or words[0] != "cpu":
        return None
    ticks = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
    return sum(int(words[1 + index]) for index in _BUSY_FIELDS) / ticks


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
