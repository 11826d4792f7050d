"""A Jetson's own `tegrastats`, a program that prints a line of everything now and then; the power rails are read.

Formats: Orin with units (`VDD_IN 5251mW/8535mW`: now and average), Nano without (`POM_5V_IN 900/943`).
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import time

import numpy as np

from edgert.errors import DeviceError
from edgert.plugins import SensorFault, SensorKind, SensorReading
from edgert.profiler.energy.arrival import arrival_times
from edgert.profiler.energy.jetson_rails import choose_rails, left_out
from edgert.profiler.energy.settings import SensorSettings

__all__ = ["TegrastatsSensor", "open_sensor", "parse_line"]

_RAIL = re.compile(r"(?<![\w@])([A-Z][A-Z0-9_]*) (\d+)(?:mW)?/(\d+)(?:mW)?(?=\s|$)")
_RATE_HZ = 10.0
_WAIT_S = 0.1
_PROBE_S = 5.0
_END_S = 3.0
_CHUNK = 1 << 16


def parse_line(line: str) -> dict[str, float]:
    """Returns the power of each rail at the moment in mW; nothing where the line has none.

    Memory (`RAM 1343/7620MB`) has the same form but another unit; switched-off sensors (`CV0@-256C`) another form.
    """
    return {name: float(now) for name, now, _ in _RAIL.findall(line)}


class TegrastatsSensor:
    """The rails that `tegrastats` prints; each line counts for the moment when it came."""

    name = "tegrastats"
    accuracy = "that of the INA3221 that it reads, in steps of 1 mW; see ina3221"
    relative_accuracy: float | None = 0.015
    limit_mw = 850_000.0
    kind = SensorKind.STREAM

    def __init__(self, program: str = "tegrastats", *, rails: str = "", rate_hz: float = _RATE_HZ) -> None:
        self.rate_hz = rate_hz
        self._program = shutil.which(program)
        self._wanted = rails
        self._names: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._last_s: float | None = None

    @property
    def rails(self) -> tuple[str, ...]:
        """Names of the summed rails, known once it was looked at."""
        return self._names

    @property
    def leaves_out(self) -> str:
        """What the rails do not see."""
        return left_out(self._names)

    @property
    def source(self) -> str:
        """The program that runs."""
        return f"{self._program} --interval {self._interval_ms()}"

    def unavailable(self) -> str | None:
        """Why it cannot be read, or None; runs it for a line."""
        if self._program is None:
            return "no program tegrastats (not a Jetson)"
        try:
            self.start()
        except DeviceError as error:
            return str(error)
        try:
            return self._probe()
        finally:
            self.stop()

    def start(self) -> None:
        """Starts the program.

        Raises:
            DeviceError: it cannot be started.
        """
        self._rest, self._last_s = b"", None
        command = [self._program or "tegrastats", "--interval", str(self._interval_ms())]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # so that what it started itself ends with it
            )
        except OSError as error:
            raise DeviceError(f"tegrastats cannot be started ({error.strerror or error})") from error

    def read(self) -> SensorReading:
        """Returns the lines that came, after a tenth of a second at most."""
        lines = self._lines()
        rows, faults = [], []
        for line in lines:
            found = parse_line(line)
            if all(name in found for name in self._names):
                rows.append([found[name] for name in self._names])
            else:
                text = f"tegrastats printed {line.strip()[:60]!r}, without {' and '.join(self._names)}"
                faults.append(SensorFault("sensor-garbage", text))
        if not rows:
            return SensorReading(np.zeros(0), np.zeros((0, len(self._names))), tuple(faults))
        now_s = time.monotonic()
        times_s = arrival_times(self._last_s, now_s, len(rows), 1 / self.rate_hz)
        self._last_s = now_s
        return SensorReading(times_s, np.array(rows), tuple(faults))

    def stop(self) -> None:
        """Ends the program."""
        process, self._process = self._process, None
        if process is None:
            return
        _signal_all(process, signal.SIGTERM)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            _signal_all(process, signal.SIGKILL)
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _interval_ms(self) -> int:
        return max(round(1000 / self.rate_hz), 1)

    def _probe(self) -> str | None:
        deadline = time.monotonic() + max(_PROBE_S, 2 / self.rate_hz)
        while time.monotonic() < deadline:
            with contextlib.suppress(DeviceError):
                for line in self._lines():
                    found = parse_line(line)
                    if found:
                        self._names, reason = choose_rails(found, self._wanted)
                        return reason
                continue
            return "tegrastats ended without a line"
        return "tegrastats printed no power rails; on some boards it needs root"

    def _lines(self) -> list[str]:
        """Whole lines that came."""
        process = self._process
        if process is None or process.stdout is None:
            raise DeviceError("tegrastats: read before start")
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(_WAIT_S):
                return []
        data = os.read(process.stdout.fileno(), _CHUNK)
        if not data:
            raise DeviceError(f"tegrastats ended with status {process.wait()}")
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines if line.strip()]


def _signal_all(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def open_sensor(settings: SensorSettings) -> TegrastatsSensor:
    """Returns the sensor with `rails` (names joined by +) and `rate_hz`."""
    return TegrastatsSensor(rails=settings.text("rails", ""), rate_hz=settings.number("rate_hz", _RATE_HZ, 0, 20))
