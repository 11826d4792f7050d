"""The plain supervisor: real processes that get ready, fall silent, crash and are switched."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgert.onboard.folder import BoardFolder
from edgert.onboard.launch import NO_RELEASE, health_path
from edgert.onboard.releases import Releases
from tests.release_example import place_release

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="boards run Linux")
OLD, NEW = "1" * 16, "2" * 16
_SAY = """
import os, socket, sys, time
def say(text):
    address = os.environ["NOTIFY_SOCKET"].replace("@", chr(0), 1)
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(text.encode(), address)
"""
LIVES = _SAY + "say('READY=1')\nprint('hello from', os.getcwd())\nwhile True:\n    say('WATCHDOG=1'); time.sleep(0.1)\n"
HANGS = _SAY + "say('READY=1')\nprint('now I hang')\ntime.sleep(600)\n"
CRASHES = "print('about to fail'); raise SystemExit(7)"
TALKS = _SAY + "say('READY=1')\nwhile True:\n    print('x' * 60000, flush=True); say('WATCHDOG=1'); time.sleep(0.005)\n"


class Board:
    """A folder with releases, and the supervisor as a process."""

    def __init__(self, folder: Path) -> None:
        self._folder = BoardFolder(folder)
        self.name = f"demo-{os.getpid()}"  # its health file is in a folder that the user's other processes share
        self.releases = Releases(self._folder, self.name)
        self._running: list[subprocess.Popen[str]] = []

    def deploy(self, release: str, program: str) -> None:
        place_release(self._folder, self.name, release, program)

    def start(self, *settings: str) -> subprocess.Popen[str]:
        words = [str(self._folder.base), self.name, "first_pause_s=0.05", "watchdog_s=1", *settings]
        command = [sys.executable, "-m", "edgert.onboard.supervise", *words]
        self._running.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return self._running[-1]

    def end(self) -> None:
        for process in self._running:
            process.terminate()
            process.communicate(timeout=20)
        shutil.rmtree(health_path(self.releases.place).parent, ignore_errors=True)

    @property
    def state(self) -> dict[str, Any]:
        """run.json, {} where nothing runs. Any: JSON values."""
        try:
            found: dict[str, Any] = json.loads((self.releases.place / "run.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    @property
    def log(self) -> str:
        path = self.releases.place / "app.log"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path / "edgert")
    yield made
    made.end()


def wait_for(is_so: Callable[[], object], limit_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_an_app_runs_and_ends_with_its_supervisor(board: Board) -> None:
    board.deploy(OLD, LIVES)
    process = board.start()
    wait_for(lambda: board.state.get("ready"))
    state = board.state
    assert (state["release"], state["restarts"], state["supervisor"]) == (OLD, 0, process.pid)
    wait_for(lambda: f"hello from {board.releases.path(OLD)}" in board.log)
    second = board.start()
    assert f"{board.name} is watched by another process already" in second.communicate(timeout=20)[1]
    assert second.returncode == 1
    process.terminate()
    assert process.wait(20) == 0
    assert is_gone(state["app"])
    assert board.state == {}


def test_an_app_that_hangs_is_killed_and_started_again(board: Board) -> None:
    board.deploy(OLD, HANGS)
    board.start()
    wait_for(lambda: board.state.get("restarts", 0) >= 1)
    assert board.state["last_status"] == -signal.SIGKILL
    assert "no sign of life for 1 s, killed" in board.log


def test_an_app_that_crashes_is_started_after_longer_and_longer_pauses(board: Board) -> None:
    board.deploy(OLD, CRASHES)
    board.start("longest_pause_s=0.2")
    wait_for(lambda: board.state.get("restarts", 0) >= 4)
    assert board.state["last_status"] == 7
    assert board.log.count("about to fail") >= 4
    assert not board.state["ready"]


def test_another_release_is_taken_on_sighup(board: Board) -> None:
    board.deploy(OLD, LIVES)
    process = board.start()
    wait_for(lambda: board.state.get("ready"))
    first = board.state["app"]
    board.deploy(NEW, LIVES)
    process.send_signal(signal.SIGHUP)
    wait_for(lambda: board.state.get("release") == NEW and board.state["ready"])
    assert is_gone(first)
    assert board.state["restarts"] == 0


def test_the_log_stays_small(board: Board) -> None:
    board.deploy(OLD, TALKS)
    board.start()
    old = board.releases.place / "app.log.1"
    wait_for(old.exists)
    assert old.stat().st_size < 2 << 20
    assert len(board.log) < 2 << 20


def test_an_app_does_not_outlive_its_supervisor(board: Board) -> None:
    board.deploy(OLD, LIVES)
    process = board.start()
    wait_for(lambda: board.state.get("ready"))
    app = board.state["app"]
    process.kill()
    wait_for(lambda: is_gone(app))


def test_an_app_is_told_its_release_and_where_its_health_goes(board: Board) -> None:
    board.deploy(OLD, LIVES)
    board.deploy(NEW, _SAY + "print(os.environ['EDGERT_RELEASE'], os.environ['EDGERT_HEALTH_FILE'])\ntime.sleep(60)\n")
    board.start()
    wait_for(lambda: f"{NEW} {health_path(board.releases.place)}" in board.log)


def test_what_cannot_be_watched_says_why(board: Board) -> None:
    nothing = board.start()
    assert f"{board.name} has no release to run" in nothing.communicate(timeout=20)[1]
    assert nothing.returncode == NO_RELEASE
    board.deploy(OLD, LIVES)
    (board.releases.path(OLD) / "release.json").write_text("{}")
    assert f"{OLD} cannot be started: a release that cannot be read" in board.start().communicate(timeout=20)[1]
