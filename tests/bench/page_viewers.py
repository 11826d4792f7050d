"""What 10 viewers of a page cost its app: frames a second, latency, processor time without and with them, by turns.

The input gives 15 frames a second. The viewers run on the same computer, in a process of their own.

    python tests/bench/page_viewers.py [--bundle net.edge]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
VIEWERS = """
import http.client, sys, threading
def look():
    c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1])); c.request('GET', '/stream.mjpg'); r = c.getresponse()
    while r.read1(1 << 20): pass
for _ in range(int(sys.argv[2])): threading.Thread(target=look, daemon=True).start()
sys.stdin.read()
"""


@contextlib.contextmanager
def viewers(port: int, count: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", VIEWERS, str(port), str(count)], stdin=subprocess.PIPE)
    time.sleep(1.0)
    yield
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def measured(url: str, pid: int, seconds: float) -> tuple[float, float, float]:
    """Frames a second, median latency in milliseconds, processor time in cores."""
    before, cpu_before_s = state_of(url), cpu_s(pid)
    time.sleep(seconds)
    after, cpu_after_s = state_of(url), cpu_s(pid)
    passed_s = after["seconds"] - before["seconds"]
    latency_ms = statistics.median(after["charts"]["latency_ms"][-round(seconds) :])
    return (after["frames"] - before["frames"]) / passed_s, latency_ms, (cpu_after_s - cpu_before_s) / passed_s


def state_of(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/state") as answer:
        state: dict[str, Any] = json.load(answer)
        return state


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def example_bundle() -> str:
    sys.path.insert(0, str(ROOT))
    from tests.app_example import write

    return str(write(Path(tempfile.mkdtemp())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", help="default: the small example of the tests")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    bundle = arguments.bundle or example_bundle()
    command = [sys.executable, str(ROOT / "apps/image_classify/app.py"), "--bundle", bundle, "--rate", "15"]
    flags = ["--port", "0", "--threads", "1", "--energy", "none"]
    app = subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert app.stderr is not None
    url = app.stderr.readline().split()[1].rstrip("/")
    time.sleep(2.0)
    alone, watched = [], []
    for _ in range(arguments.rounds):
        alone.append(measured(url, app.pid, arguments.seconds))
        with viewers(int(url.rpartition(":")[2]), 10):
            watched.append(measured(url, app.pid, arguments.seconds))
        time.sleep(2.0)
    app.terminate()
    app.communicate()
    for name, rows in (("nobody", alone), ("10 viewers", watched)):
        fps, latency_ms, cores = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{name}: {fps:.2f} frames/s, camera to result {latency_ms:.2f} ms, {cores:.3f} cores")


if __name__ == "__main__":
    main()
