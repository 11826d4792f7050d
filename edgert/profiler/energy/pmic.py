"""The power management chip of a Raspberry Pi 5, through `vcgencmd pmic_read_adc`.

Its lines come in pairs, `VDD_CORE_A current(7)=1.11625000A` and `VDD_CORE_V volt(15)=0.74944980V`; EXT5V_V and BATT_V
have no current. What flows into the board at 5 V is therefore not known.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time

import numpy as np

from edgert.errors import DeviceError
from edgert.plugins import SensorFault, SensorKind, SensorReading
from edgert.profiler.energy.settings import SensorSettings

__all__ = ["PmicSensor", "open_sensor", "parse_adc"]

_LINE = re.compile(r"^\s*(\w+)_([AV]) (?:current|volt)\(\d+\)=(-?\d+(?:\.\d+)?)([AV])\s*$")
_RATE_HZ = 10.0
_TIMEOUT_S = 2.0
_MOST_FAILURES = 5


def parse_adc(text: str) -> dict[str, float]:
    """Returns the power of each rail that has voltage and current, in mW.

    Raises:
        ValueError: no such rail, or a line of another form.
    """
    found: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        match = _LINE.match(line)
        if match is None or match[2] != match[4]:
            raise ValueError(f"the line {line.strip()[:60]!r} is no voltage or current")
        found.setdefault(match[1], {})[match[2]] = float(match[3])
    powers = {name: 1000 * pair["A"] * pair["V"] for name, pair in found.items() if {"A", "V"} <= set(pair)}
    if not powers:
        raise ValueError("no rail with voltage and current")
    return powers


class PmicSensor:
    """All rails that the chip makes."""

    name = "pmic"
    accuracy = "nobody states one; the intervals hold the spread alone"
    relative_accuracy: float | None = None
    leaves_out = (
        "everything at 5 V: USB devices, HATs, fan, and the losses of the power management chip itself; only the rails "
        "behind it are seen"
    )
    limit_mw = 50_000.0
    kind = SensorKind.POLLED

    def __init__(self, program: str = "vcgencmd", *, rate_hz: float = _RATE_HZ) -> None:
        self.rate_hz = rate_hz
        self._program = shutil.which(program)
        self._names: tuple[str, ...] = ()
        self._failures = 0

    @property
    def rails(self) -> tuple[str, ...]:
        """Names of the summed rails, known once it was looked at."""
        return self._names

    @property
    def source(self) -> str:
        """The program that runs."""
        return f"{self._program} pmic_read_adc"

    def unavailable(self) -> str | None:
        """Why it cannot be read, or None."""
        if self._program is None:
            return "no program vcgencmd (not a Raspberry Pi)"
        try:
            self._names = tuple(parse_adc(self._ask()))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return f"{self.source}: {error} (only a Raspberry Pi 5 has it)"
        return None

    def start(self) -> None:
        """Nothing is to be done."""
        self._failures = 0

    def read(self) -> SensorReading:
        """Returns one sample; its time is the middle of the program's run."""
        start_s = time.monotonic()
        try:
            powers = parse_adc(self._ask())
            row = [powers[name] for name in self._names]
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            self._failures += 1
            if self._failures > _MOST_FAILURES:
                raise DeviceError(f"{self.source} failed {self._failures} times in a row ({error})") from error
            fault = SensorFault("sensor-garbage", f"{self.source}: {error}")
            return SensorReading(np.zeros(0), np.zeros((0, len(self._names))), (fault,))
        self._failures = 0
        return SensorReading(np.array([(start_s + time.monotonic()) / 2]), np.array([row]))

    def stop(self) -> None:
        """Nothing is held open."""

    def _ask(self) -> str:
        command = [self._program or "vcgencmd", "pmic_read_adc"]
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL)
        return done.stdout.decode("utf-8", "replace")


def open_sensor(settings: SensorSettings) -> PmicSensor:
    """Returns the sensor with `rate_hz`."""
    return PmicSensor(rate_hz=settings.number("rate_hz", _RATE_HZ, 0, 20))
