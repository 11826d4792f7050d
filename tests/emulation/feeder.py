"""What changes by itself on a board while it runs: its processor time in /proc/stat, and scripted curves of sensors.

/proc/stat of this machine counts what everything on it does, other tests included; a board's own holds the processor
time of the board's control group, so that on a board nothing competes but what runs there.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.emulation.controls import write_in_place

_STAT_PERIOD_S = 0.01  # what the kernel counts in
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@contextmanager
def feeding(feed: Callable[[], None], period_s: float) -> Iterator[None]:
    """Inside the block, another thread calls `feed` at once and then every `period_s` seconds."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(period_s):
            feed()

    feed()
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def processor_time(group: Path, cores: int, stat: Path) -> Iterator[None]:
    """Inside the block, keeps the board's /proc/stat up with its control group."""
    start_s = time.monotonic()

    def feed() -> None:
        busy = round(_used_s(group) * _TICKS_PER_S)
        idle = max(0, round((time.monotonic() - start_s) * cores * _TICKS_PER_S) - busy)
        # numbers of one width: a reader never meets the end of an older, longer text
        total = f"cpu  {busy:012d} 0 0 {idle:012d} 0 0 0 0 0 0\n"
        each = "".join(f"cpu{n} {busy // cores:012d} 0 0 {idle // cores:012d} 0 0 0 0 0 0\n" for n in range(cores))
        write_in_place(stat, total + each)

    with feeding(feed, _STAT_PERIOD_S):
        yield


def _used_s(group: Path) -> float:
    usage = group / "cpuacct.usage"  # nanoseconds, control groups of version 1
    if usage.exists():
        return int(usage.read_text()) / 1e9
    words = (group / "cpu.stat").read_text().split()
    return int(words[words.index("usage_usec") + 1]) / 1e6


@dataclass
class Played:
    """What was set and when (time.monotonic, which boards share with this machine)."""

    values: list[tuple[float, float]] = field(default_factory=list)

    def integral(self, start_s: float, end_s: float) -> float:
        """Returns the integral of the steps over the interval; with mW, mJ."""
        total = 0.0
        ends = [moment for moment, _ in self.values[1:]] + [end_s]
        for (moment, value), end in zip(self.values, ends, strict=True):
            total += value * max(0.0, min(end, end_s) - max(moment, start_s))
        return total


@contextmanager
def playing(
    curve: Callable[[float], float], apply: Callable[[float], None], period_s: float = 0.01
) -> Iterator[Played]:
    """Inside the block, applies the curve's value of the seconds since its start, every `period_s` seconds."""
    played = Played()
    start_s = time.monotonic()

    def feed() -> None:
        value = curve(time.monotonic() - start_s)
        apply(value)
        played.values.append((time.monotonic(), value))

    with feeding(feed, period_s):
        yield played
