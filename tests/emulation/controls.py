"""What a test may change of a board's state while the board runs: sensors, clocks, flags.

Values are written in place, so that a reader that keeps the file open and seeks sees them, as with sysfs. A value that
is shorter than the last one is filled up with newlines: cutting the file would be a second step, which readers can see.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.emulation.facts import FIRMWARE_THROTTLED, INA3221, meminfo, pressure, tegrastats_line
from tests.emulation.kinds import Kind


class Controls:
    """The state of one board, in the folders that it shows as /sys and /run/fakeboard."""

    def __init__(self, kind: Kind, sys: Path, state: Path) -> None:
        self._kind = kind
        self._sys = sys
        self._state = state

    def set_throttled(self, flags: int) -> None:
        """Sets the firmware's bits: 0 under-voltage, 1 capped, 2 throttled, 3 soft limit; 16-19 have occurred."""
        self.write_state("throttled", f"0x{flags:x}")
        self.write_sys(FIRMWARE_THROTTLED, f"{flags:x}")

    def set_temperature(self, celsius: float, zone: int = 0) -> None:
        self.write_sys(f"class/thermal/thermal_zone{zone}/temp", str(round(celsius * 1000)))
        if self._kind.revision and zone == 0:
            self.write_state("temperature", f"{celsius:.1f}")

    def set_clock_khz(self, khz: int) -> None:
        """Sets the present clock of all cores."""
        self._write_cpus("scaling_cur_freq", str(khz))
        if self._kind.revision:
            self.write_state("arm_hz", str(khz * 1000))

    def set_governor(self, name: str) -> None:
        self._write_cpus("scaling_governor", name)

    def set_memory_available(self, kib: int) -> None:
        """Sets what /proc/meminfo says is left; it limits nothing."""
        self.write_state("proc/meminfo", meminfo(self._kind, kib), end="")

    def set_memory_pressure(self, avg10: float) -> None:
        """Sets the share of time, in %, for which /proc/pressure/memory says that some process waited for memory."""
        self.write_state("proc/pressure/memory", pressure(avg10), end="")

    def set_ina3221(self, rails: Mapping[str, tuple[int, int]]) -> None:
        """Sets rails by label: bus voltage in mV and current in mA."""
        numbers = {label: number for number, (label, _, _) in enumerate(self._kind.rails, 1)}
        for label, (mv, ma) in rails.items():
            self.write_sys(f"{INA3221}/in{numbers[label]}_input", str(mv))
            self.write_sys(f"{INA3221}/curr{numbers[label]}_input", str(ma))

    def set_tegrastats(self, rails_mw: Mapping[str, int]) -> None:
        """Sets the powers that the next lines of tegrastats print."""
        self.write_state("tegrastats", tegrastats_line(dict(rails_mw)))

    def set_pmic(self, volts_amps: Mapping[str, tuple[float, float]]) -> None:
        """Sets rails of `vcgencmd pmic_read_adc` by name without `_V` and `_A`; the others stay."""
        lines = (self._state / "pmic").read_text().splitlines()
        self.write_state("pmic", "\n".join(_pmic_line(line, volts_amps) for line in lines))

    def write_sys(self, path: str, text: str) -> None:
        """Sets an existing file of /sys, path relative to it."""
        write_in_place(self._sys / path, f"{text}\n")

    def write_state(self, name: str, text: str, end: str = "\n") -> None:
        """Sets a file of /run/fakeboard, such as `tegrastats`, the line that the stand-in prints after the date."""
        write_in_place(self._state / name, text + end)

    def remove_sys(self, path: str) -> None:
        """Removes a file of /sys, as when a driver goes away."""
        (self._sys / path).unlink()

    def _write_cpus(self, name: str, text: str) -> None:
        for number in range(self._kind.cores):
            self.write_sys(f"devices/system/cpu/cpu{number}/cpufreq/{name}", text)


def _pmic_line(line: str, volts_amps: Mapping[str, tuple[float, float]]) -> str:
    start, _, _ = line.partition("=")
    name = start.split()[0]
    if name[:-2] not in volts_amps:
        return line
    volt, amp = volts_amps[name[:-2]]
    return f"{start}={volt:.8f}V" if name.endswith("_V") else f"{start}={amp:.8f}A"


def write_in_place(path: Path, text: str) -> None:
    """Writes all of an existing file in one step; see above."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        length = os.fstat(descriptor).st_size
        os.pwrite(descriptor, text.encode().ljust(length, b"\n"), 0)
    finally:
        os.close(descriptor)
