"""What says that a board slowed itself down: the firmware's flags, cooling devices in action, counters of events.

Raspberry Pi: the firmware's bits, from sysfs where the kernel shows them, else from `vcgencmd get_throttled`. Jetson:
cooling devices of the thermal framework and the counters of over-current events. x86: the counters of each core.
The programs are asked between windows only and with a short time limit; one that failed is not asked again.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from edgert.profiler.system_files import find_program, number_of, read_text

__all__ = ["ThrottleReader", "parse_flags", "read_power_mode"]

_FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
_RASPBERRY_PI = "raspberrypi,"
_PROGRAM_LIMIT_S = 2.0
_SLOWING = re.compile(r"cpufreq|devfreq|throttle|^processor$|^(cpu|gpu)\b", re.IGNORECASE)
"""Types of cooling devices that take speed away; a fan or a display's light does not."""
_COUNTERS = (
    "sys/class/hwmon/hwmon*/oc*_event_cnt",  # Jetson Orin: over-current and under-voltage events
    "sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count",  # x86
)
_MODE = re.compile(r"pmode:(\d+)")
_MODE_NAME = re.compile(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)")
_ASKED_MODE = re.compile(r"NV Power Mode:\s*(\S+)")


class ThrottleReader:
    """Reads all of them again and again; `unreadable` says what a board should show and did not."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._program = None if self._has_firmware_file() else find_program("vcgencmd", root)
        self.unreadable: tuple[str, ...] = ()
        if self._program is None and not self._has_firmware_file() and self._is_raspberry_pi():
            self.unreadable = ("throttle flags: the kernel does not show them and vcgencmd is not installed",)

    def flags(self) -> str | None:
        """Returns the firmware's bits in hexadecimal, or None."""
        if self._program is None:
            return read_text(self._root / _FIRMWARE)
        said = _ask(self._program, "get_throttled")
        name, equals, flags = said.partition("=")
        if name.strip() == "throttled" and equals and parse_flags(flags) is not None:
            return flags.strip()
        self._program = None
        self.unreadable = (f"throttle flags: vcgencmd get_throttled said {said.strip()[:100]!r}",)
        return None

    def cooling(self) -> dict[str, int]:
        """Returns how far each cooling device that takes speed away is on; 0 is off."""
        found = {}
        for device in sorted((self._root / "sys/class/thermal").glob("cooling_device*")):
            kind, state = read_text(device / "type") or "", read_text(device / "cur_state") or ""
            if state.isdigit() and _SLOWING.search(kind) and "fan" not in kind.lower():
                found[f"{device.name}:{kind}"] = int(state)
        return found

    def counts(self) -> dict[str, int]:
        """Returns how often the hardware has slowed itself down since it started, by counter."""
        found: dict[str, int] = {}
        for pattern in _COUNTERS:
            for path in sorted(self._root.glob(pattern)):
                count = number_of(read_text(path))
                if count is not None:
                    found[str(path.relative_to(self._root / "sys"))] = int(count)
        return found

    def _has_firmware_file(self) -> bool:
        return (self._root / _FIRMWARE).exists()

    def _is_raspberry_pi(self) -> bool:
        return (read_text(self._root / "proc/device-tree/compatible") or "").startswith(_RASPBERRY_PI)


def parse_flags(text: str) -> int | None:
    """Returns the firmware's bits, or None where the text is no hexadecimal number."""
    try:
        return int(text, 16)
    except ValueError:
        return None


def read_power_mode(root: Path = Path("/")) -> str | None:
    """Returns a Jetson's power mode by name or number, or None on other devices."""
    found = _MODE.search(read_text(root / "var/lib/nvpmodel/status") or "")
    if found is not None:
        names: dict[str, str] = dict(_MODE_NAME.findall(read_text(root / "etc/nvpmodel.conf") or ""))
        number = str(int(found[1]))
        return names.get(number, number)
    program = find_program("nvpmodel", root)
    asked = None if program is None else _ASKED_MODE.search(_ask(program, "-q"))
    return None if asked is None else str(asked[1])


def _ask(program: str, word: str) -> str:
    """What a program says, on either stream; the reason where it does not answer."""
    try:
        done = subprocess.run(
            [program, word], stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROGRAM_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"nothing within {_PROGRAM_LIMIT_S:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return (done.stdout or done.stderr).decode(errors="replace")
