"""What 10 viewers cost an app: without and with them by turns, at a camera's rate and with a loop at its limit.

`image_classify` runs on a still image. At 15 frames a second nothing is short. With frames asked for faster than the
model takes them the loop never waits for one, so whatever the page takes from it is missing in its frames; measured
with one thread for the model and with one for each core. The viewers run on the same computer, in their own process.

Of the loop's thread, the process's main one, the kernel counts the time on a processor and that in which it waits for
one (/proc/PID/task/TID/schedstat). On a computer that does other work the waiting is mostly for that, so `own` is the
time of a frame without it: computing, waiting for the interpreter's lock and for the model's threads. What the app's
other threads compute more with viewers than without is the most that a loop can lose on a computer with a single core.

    python tests/bench/page_viewers.py [--bundle net.edge] [--rounds 12] [--seconds 2]
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
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COLUMNS = ("computing, ms a frame", "own, ms a frame", "waiting for a processor, ms a frame")
COUNT = 10
VIEWERS = """
import http.client, sys, threading
def look():
    c = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1])); c.request('GET', '/stream.mjpg'); r = c.getresponse()
    while r.read1(1 << 20): pass
for _ in range(int(sys.argv[2])): threading.Thread(target=look, daemon=True).start()
sys.stdin.read()
"""


@dataclass(frozen=True)
class Look:
    """The app at one moment: frames so far, and seconds of its clock, its loop's thread and its other threads."""

    frames: int
    seconds: float
    others_s: float
    loop_s: float
    loop_waited_s: float


@dataclass(frozen=True)
class Span:
    """Between two looks. Times of the loop are for each frame, `own_ms` without waiting; `others` is in cores."""

    fps: float
    computing_ms: float
    own_ms: float
    waiting_ms: float
    others: float


def look(url: str, pid: int) -> Look:
    state, tasks = state_of(url), {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        computing_ns, waited_ns, _ = map(int, (task / "schedstat").read_text().split())
        tasks[task.name] = computing_ns / 1e9, waited_ns / 1e9
    loop_s, waited_s = tasks.pop(str(pid))
    return Look(state["frames"], state["seconds"], sum(pair[0] for pair in tasks.values()), loop_s, waited_s)


def measured(url: str, pid: int, seconds: float) -> Span:
    before = look(url, pid)
    time.sleep(seconds)
    after = look(url, pid)
    frames, passed_s = after.frames - before.frames, after.seconds - before.seconds
    loop_s, waited_s = after.loop_s - before.loop_s, after.loop_waited_s - before.loop_waited_s
    loop_ms, own_ms, waited_ms = (1e3 * value / frames for value in (loop_s, passed_s - waited_s, waited_s))
    return Span(frames / passed_s, loop_ms, own_ms, waited_ms, (after.others_s - before.others_s) / passed_s)


def state_of(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/state") as answer:
        state: dict[str, Any] = json.load(answer)
        return state


@contextlib.contextmanager
def viewers(port: int) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", VIEWERS, str(port), str(COUNT)], stdin=subprocess.PIPE)
    end_s = time.monotonic() + 60
    while state_of(f"http://127.0.0.1:{port}")["viewers"] < COUNT and time.monotonic() < end_s:
        time.sleep(0.1)
    yield
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
    while state_of(f"http://127.0.0.1:{port}")["viewers"]:
        time.sleep(0.1)


@contextlib.contextmanager
def app(bundle: str, picture: Path, rate_hz: float, threads: int) -> Iterator[tuple[str, int]]:
    command = [sys.executable, str(ROOT / "apps/image_classify/app.py"), "--bundle", bundle, "--input", str(picture)]
    flags = ["--rate", str(rate_hz), "--threads", str(threads), "--port", "0", "--energy", "none"]
    process = subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    url = process.stderr.readline().split()[1].rstrip("/")
    time.sleep(2.0)
    yield url, process.pid
    process.terminate()
    process.communicate()


def rounds(url: str, pid: int, count: int, seconds: float) -> tuple[list[Span], list[Span]]:
    """Rows without and with viewers; every other round begins with the viewers, so that a drift meets both alike."""
    alone: list[Span] = []
    watched: list[Span] = []
    for index in range(count):
        for with_viewers in (index % 2 == 1, index % 2 == 0):
            with viewers(int(url.rpartition(":")[2])) if with_viewers else contextlib.nullcontext():
                (watched if with_viewers else alone).append(measured(url, pid, seconds))
    return alone, watched


def example_bundle() -> str:
    sys.path.insert(0, str(ROOT))
    from tests.app_example import write

    return str(write(Path(tempfile.mkdtemp())))


def example_picture() -> Path:
    import cv2

    from edgert.app.producers import moving_pattern

    path = Path(tempfile.mkdtemp()) / "picture.png"
    cv2.imwrite(str(path), moving_pattern(7, 480, 640)[:, :, ::-1])
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", help="default: the small example of the tests")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    bundle, picture = arguments.bundle or example_bundle(), example_picture()
    print(f"| frames asked for | threads | on the page | frames/s | {' | '.join(COLUMNS)} | other threads |")
    print("|" + "---|" * (len(COLUMNS) + 5))
    for rate_hz, threads in ((15, 1), (1000, 1), (1000, os.cpu_count() or 1)):
        with app(bundle, picture, rate_hz, threads) as (url, pid):
            pair = rounds(url, pid, arguments.rounds, arguments.seconds)
        asked = f"{rate_hz} a second" if rate_hz < 1000 else "as many as it takes"
        for name, spans in zip(("nobody", f"{COUNT} browsers"), pair, strict=True):
            middle = [statistics.median(values) for values in zip(*map(astuple, spans), strict=True)]
            times = " | ".join(f"{value:.2f}" for value in middle[1:4])
            print(f"| {asked} | {threads} | {name} | {middle[0]:.2f} | {times} | {100 * middle[4]:.1f} % of a core |")
        more = [100 * (watched.others - alone.others) for alone, watched in zip(*pair, strict=True)]
        print(f"other threads with browsers, more than without: median {statistics.median(more):.1f} % of a core")
        for what in ("fps", "own_ms", "computing_ms"):
            ratios = sorted(getattr(watched, what) / getattr(alone, what) for alone, watched in zip(*pair, strict=True))
            low, middle_ratio, high = ratios[len(ratios) // 4], statistics.median(ratios), ratios[-len(ratios) // 4]
            print(
                f"{what} with browsers, of that without: median {middle_ratio:.3f}, quartiles {low:.3f} to {high:.3f}"
            )


if __name__ == "__main__":
    main()
