"""Whole profiles on made-up boards whose state changes in the middle of the run: each question to `vcgencmd` counts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgert.profiler import worker
from edgert.profiler.environment import EnvironmentReader
from edgert.profiler.record import Record, Verdict
from edgert.profiler.request import ProfileRequest
from edgert.profiler.worker import profile_here
from tests import bundle_example as example

QUIET = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
    "proc/meminfo": "MemTotal: 4147216 kB\nMemAvailable: 3500000 kB\n",
    "proc/stat": "cpu 0 0 0 9000 10 0 0 0 0 0\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2400000\n",
    "sys/class/thermal/thermal_zone0/temp": "48300\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
}
COUNT = 'echo >> "$R/calls"; N=$(wc -l < "$R/calls")'
FLAGS = "echo throttled=0x0"


@pytest.fixture
def profile_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Record]:
    """Profiles on a board whose vcgencmd is this script: `N` is the number of the call, `R` the root of the board."""
    root = tmp_path / "board"
    for name, text in QUIET.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    program = root / "usr/bin/vcgencmd"
    program.parent.mkdir(parents=True)
    monkeypatch.setattr(worker, "EnvironmentReader", lambda: EnvironmentReader(root))

    def run(script: str) -> Record:
        program.write_text(f"#!/bin/sh\nR={root}\n{COUNT}\n{script}\n")
        program.chmod(0o755)
        request = ProfileRequest(str(example.write(tmp_path)), "2026-01-01T00:00:00+00:00", duration_s=0.6)
        return profile_here(request, {})

    return run


def codes(record: Record) -> set[str]:
    """Without those that the computer under the made-up board gives."""
    return {reason.code for reason in record.reasons} - {"unstable-latency", "not-warm"}


def test_nothing_happens(profile_on: Callable[[str], Record]) -> None:
    record = profile_on(FLAGS)
    assert codes(record) == set()
    assert {sample.throttle_flags for sample in record.environment.samples()} == {"0x0"}


def test_throttling_raised_during_a_run(profile_on: Callable[[str], Record]) -> None:
    record = profile_on('[ "$N" -gt 6 ] && echo throttled=0xe0008 || echo throttled=0x0')
    assert record.verdict is Verdict.DEGRADED
    assert codes(record) == {"throttled", "throttle-occurred"}
    flags = [sample.throttle_flags for sample in record.environment.samples()]
    assert flags[0] == "0x0"
    assert flags[-1] == "0xe0008"


def test_throttling_between_two_windows(profile_on: Callable[[str], Record]) -> None:
    record = profile_on('[ "$N" -gt 6 ] && echo throttled=0x40000 || echo throttled=0x0')
    assert codes(record) == {"throttle-occurred"}


def test_a_busy_neighbour_raised_during_a_run(profile_on: Callable[[str], Record]) -> None:
    seconds = 100 * os.sysconf("SC_CLK_TCK")
    record = profile_on(f'[ "$N" -gt 6 ] && echo "cpu $((N * {seconds})) 0 0 0 0 0 0 0 0 0" > "$R/proc/stat"; {FLAGS}')
    assert codes(record) == {"competing-load"}
    assert all(sample.competing_cores in {None, 0.0} for sample in record.environment.samples()[:4])


def test_flags_that_stop_being_readable(profile_on: Callable[[str], Record]) -> None:
    record = profile_on('[ "$N" -gt 6 ] && exit 255; echo throttled=0x0')
    assert codes(record) == {"throttle-unreadable"}


def test_a_system_time_that_jumps(
    profile_on: Callable[[str], Record], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import time

    real, calls = time.time, tmp_path / "board/calls"
    monkeypatch.setattr(time, "time", lambda: real() + 3600 * (calls.exists() and calls.stat().st_size > 6))
    record = profile_on(FLAGS)
    assert codes(record) == {"clock-step"}
    assert record.verdict is Verdict.INVALID
