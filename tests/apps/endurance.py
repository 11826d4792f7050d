"""Runs apps as systemd would, with somebody at their pages, and watches memory, heartbeats and health from outside.

    python -m tests.apps.endurance [--seconds 3600] [APP ...]

prints a table and exits 1 where an app grew, fell silent or failed. tests/apps/test_endurance.py is the short form.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from edgert.onboard.health import Health, read_health
from tests.app_example import ROOT
from tests.apps.bundles import APPS, bundle_for

WATCHDOG_S = 10.0
"""What the app is told its watchdog allows; a deployed one is given 30 s."""
WARM_FRAMES = 30
"""An app is warm once it has processed these and somebody has looked at its page: only then all modules are loaded."""
GROWTH_BYTES = 4 << 20
"""Memory that may come after the warm-up, whatever the time: allocators keep some, charts fill for 5 minutes."""
GROWTH_BYTES_PER_HOUR = 2 << 20
STALE_S = 5.0
"""The health file is written once a second; on a busy computer that may be late."""
LONGEST_START_S = 120.0
HEADER = (
    "| app | time | frames | memory | growth | longest gap | inference p99, ms | camera to result p99, ms |",
    "|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Sample:
    """One look at the process: seconds since it was ready, resident memory, threads, open files, age of its health.

    `starved_s` is for how long its loop's thread has waited for a processor so far: other programs had them all.
    """

    at_s: float
    memory_bytes: int
    threads: int
    files: int
    health: Health | None
    health_age_s: float
    starved_s: float


@dataclass(frozen=True)
class Report:
    """What was seen of one run. `beats_s` are the times of WATCHDOG=1, `messages` everything else systemd was told."""

    app: str
    seconds: float
    samples: tuple[Sample, ...]
    beats_s: tuple[float, ...]
    messages: tuple[str, ...]
    status: int
    summary: dict[str, Any] = field(default_factory=dict)
    said: str = ""
    pictures: int = 0
    watchdog_s: float = WATCHDOG_S
    warm_s: float = 0.0

    @property
    def longest_gap_s(self) -> float:
        """Longest time between two heartbeats, from the start to the end."""
        return max(later - before for before, later in self._gaps())

    @property
    def growth_bytes(self) -> int:
        """Median memory of the last quarter, less that of the first, once it was warm."""
        warm = [sample.memory_bytes for sample in self.samples if sample.at_s >= self.warm_s]
        part = max(1, len(warm) // 4)
        return round(statistics.median(warm[-part:]) - statistics.median(warm[:part]))

    @property
    def slope_bytes_per_hour(self) -> float:
        """Least-squares slope of the memory once it was warm."""
        rows = [(s.at_s, s.memory_bytes) for s in self.samples if s.at_s >= self.warm_s]
        return 3600 * statistics.linear_regression(*zip(*rows, strict=True)).slope

    def own_s(self, begin_s: float, end_s: float) -> float:
        """Seconds between two moments, less those in which other programs had the processors."""
        times, starved = [sample.at_s for sample in self.samples], [sample.starved_s for sample in self.samples]
        before, after = np.interp([begin_s, end_s], [0.0, *times], [0.0, *starved])
        return max(0.0, end_s - begin_s - float(after - before))

    def faults(self) -> list[str]:
        """What is wrong with the run, in words; none: it may run for months."""
        if not self.samples:
            return [f"it was never ready: status {self.status}, {self.said[-500:]}"]
        found = []
        allowed = GROWTH_BYTES + GROWTH_BYTES_PER_HOUR * self.seconds / 3600
        if self.samples[-1].at_s < self.warm_s:
            found.append(f"it was not warm: {WARM_FRAMES} frames, and a visit to its page")
        elif self.growth_bytes > allowed:
            found.append(f"memory grew by {self.growth_bytes:,} bytes; {allowed:,.0f} are allowed")
        gap_s = max(self.own_s(*pair) for pair in self._gaps())
        if gap_s > self.watchdog_s:
            found.append(f"{gap_s:.1f} s without a heartbeat; the watchdog allows {self.watchdog_s:g}")
        stale = max(self.own_s(sample.at_s - sample.health_age_s, sample.at_s) for sample in self.samples)
        if stale > STALE_S:
            found.append(f"the health file was {stale:.1f} s old")
        problems = {s.health.problem for s in self.samples if s.health is not None and s.health.problem}
        found += [f"the health file said: {problem}" for problem in sorted(problems)]
        last = self.samples[-1]
        if last.health is None or not (last.health.is_healthy and last.health.frames):
            found.append("at the end it was not healthy")
        early = self.samples[len(self.samples) // 2]
        if last.threads > early.threads + 2 or last.files > early.files + 2:
            found.append(
                f"threads {early.threads} -> {last.threads}, open files {early.files} -> {last.files} in half the time"
            )
        if self.status != 0 or self.messages != ("READY=1", "STOPPING=1"):
            found.append(f"it ended with status {self.status} after {self.messages}: {self.said[-500:]}")
        return found

    def _gaps(self) -> list[tuple[float, float]]:
        times = (0.0, *self.beats_s, self.seconds)
        return list(itertools.pairwise(times))


class Running:
    """An app as a process, with the manager's socket, a health file, and a browser's stand-in at its page."""

    def __init__(self, app: Path, bundle: Path, folder: Path, *flags: str, watchdog_s: float = WATCHDOG_S) -> None:
        self._name, self._folder = app.parent.name, folder
        self._health = folder / "health.json"
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(folder / "notify"))
        self._messages: list[tuple[float, str]] = []
        self._samples: list[Sample] = []
        self._closed = threading.Event()
        self._watchdog_s, self._warm_s = watchdog_s, float("inf")
        self.pictures = self._visits = 0
        settings = folder / "settings.json"
        settings.write_text(json.dumps({"bundle": str(bundle), "input": "synthetic", "port": 0, "energy": "none"}))
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(round(watchdog_s * 1e6)),
            "EDGERT_HEALTH_FILE": str(self._health),
            "EDGERT_RELEASE": "0123456789abcdef",
            "OMP_NUM_THREADS": "1",
        }
        self._said, self._printed = (folder / "stderr").open("w+"), (folder / "stdout").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(app), "--settings", str(settings), *flags],
            env=environment,
            cwd=folder,
            stdout=self._printed,  # a pipe that nobody reads would stop an app that prints its events
            stderr=self._said,
        )
        self._ready_s: float | None = None
        self._starved_before_s = 0.0
        works = (self._listen, self._sample, self._look)
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    def wait_until_warm(self, longest_s: float = LONGEST_START_S) -> bool:
        """Returns False where it ended, or was not warm in that time."""
        end_s = time.monotonic() + longest_s
        while self.process.poll() is None and time.monotonic() < end_s:
            health = self._samples[-1].health if self._samples else None
            if self._ready_s is not None and self._visits and health is not None and health.frames >= WARM_FRAMES:
                self._warm_s = time.monotonic() - self._ready_s
                return True
            time.sleep(0.05)
        return False

    def end(self) -> Report:
        """Ends it as systemd does, and says what was seen."""
        end_s = time.monotonic()
        self._closed.set()
        for thread in self._threads[1:]:
            thread.join()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._manager.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._manager.close()
        said, printed = (_read(stream) for stream in (self._said, self._printed))
        ready_s = self._ready_s if self._ready_s is not None else end_s
        beats = tuple(at_s - ready_s for at_s, text in self._messages if text == "WATCHDOG=1" and at_s <= end_s)
        others = tuple(text for _, text in self._messages if text != "WATCHDOG=1")
        lines = printed.strip().splitlines()
        summary = json.loads(lines[-1]) if lines and "stages" in lines[-1] else {}
        return Report(
            self._name, end_s - ready_s, tuple(self._samples), beats, others, self.process.returncode, summary, said,
            self.pictures, self._watchdog_s, self._warm_s,
        )  # fmt: skip

    def _listen(self) -> None:
        while data := self._manager.recv(4096):
            now_s = time.monotonic()
            for text in data.decode().splitlines():
                self._messages.append((now_s, text))
                if text == "READY=1":
                    self._starved_before_s = self._starved_s()
                    self._ready_s = now_s

    def _sample(self) -> None:
        process = Path("/proc", str(self.process.pid))
        while not self._closed.wait(0.5):
            now_s = time.monotonic()
            if self._ready_s is None or now_s < self._ready_s + 1:
                continue
            with contextlib.suppress(OSError):
                status = (process / "status").read_text()
                memory, threads = (int(re.findall(rf"{name}:\s+(\d+)", status)[0]) for name in ("VmRSS", "Threads"))
                files = len(os.listdir(process / "fd"))
                health = read_health(self._health)
                at_s = now_s - self._ready_s
                age_s = at_s if health is None else min(at_s, health.age_s(now_s))  # what it wrote before is older
                starved_s = self._starved_s()
                self._samples.append(Sample(at_s, memory << 10, threads, files, health, age_s, starved_s))

    def _starved_s(self) -> float:
        """What the loop's thread waited for a processor since it was ready."""
        waited_s = int((Path("/proc") / str(self.process.pid) / "schedstat").read_text().split()[1]) / 1e9
        return waited_s - self._starved_before_s

    def _look(self) -> None:
        """Looks at the picture for a while, asks for the state and the figures, goes, and comes again."""
        port = 0
        while not self._closed.wait(0.2):
            health = read_health(self._health)
            if health is not None and health.page is not None:
                port = int(health.page.rpartition(":")[2])
            if port:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    self._visit(port)
                    self._visits += 1

    def _visit(self, port: int) -> None:
        for path in ("/state", "/metrics", "/healthz"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", path)
                connection.getresponse().read()
        stream = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(stream):
            stream.request("GET", "/stream.mjpg")
            answer = stream.getresponse()
            until_s = time.monotonic() + 3
            while time.monotonic() < until_s and not self._closed.is_set() and (data := answer.read1(1 << 20)):
                self.pictures += data.count(b"\xff\xd8\xff")


def _read(stream: TextIO) -> str:
    with stream:
        stream.seek(0)
        return stream.read()


@contextlib.contextmanager
def running(app: Path, bundle: Path, *flags: str, watchdog_s: float = WATCHDOG_S) -> Iterator[Running]:
    """Runs an app in a folder of its own; it is gone afterwards whatever happened."""
    with tempfile.TemporaryDirectory(prefix="edgert-app-") as folder:
        found = Running(app, bundle, Path(folder), *flags, watchdog_s=watchdog_s)
        try:
            yield found
        finally:
            if found.process.poll() is None:
                found.process.kill()
                found.process.wait()


def watch(apps: Sequence[str], seconds: float) -> list[Report]:
    """Runs the apps side by side for so many seconds after the last of them was warm."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgert-bundles-")))
        started = []
        for app in apps:
            (folder / app).mkdir()
            bundle = bundle_for(app, folder / app)
            started.append(stack.enter_context(running(ROOT / "apps" / app / "app.py", bundle)))
        for one in started:
            one.wait_until_warm()
        time.sleep(seconds)
        return [one.end() for one in started]


def row(report: Report) -> str:
    """Returns a line of the table in docs/apps.md."""
    if not report.samples or not report.summary:
        return f"| {report.app} | - | - | - | - | - | - |"
    stages, memory = report.summary["stages"], report.samples[-1].memory_bytes
    figures = (
        f"{report.seconds / 60:.0f} min",
        f"{report.summary['frames']:,}",
        f"{memory / 1e6:.0f} MB",
        f"{report.growth_bytes / 1e6:+.2f} MB",
        f"{report.longest_gap_s:.1f} s",
        *(f"{stages[name]['p99_ms']:.2f}" for name in ("inference", "camera_to_result")),
    )
    return f"| {report.app} | " + " | ".join(figures) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("apps", nargs="*", default=APPS)
    parser.add_argument("--seconds", type=float, default=3600.0)
    arguments = parser.parse_args()
    reports = watch(arguments.apps, arguments.seconds)
    sys.stdout.write("\n".join([*HEADER, *map(row, reports)]) + "\n")
    for report in reports:
        sys.stdout.writelines(f"{report.app}: {fault}\n" for fault in report.faults() or ["no fault"])
    return int(any(report.faults() for report in reports))


if __name__ == "__main__":
    raise SystemExit(main())
