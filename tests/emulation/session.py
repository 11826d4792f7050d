"""Commands of a user at a laptop: run to the end, left running while something happens, or typed at a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.emulation.board import EmulatedBoard
from tests.emulation.laptop import Laptop

SILENCE_S = 4.0
"""Seconds of silence after which edgert gives a connection up in these tests; 20 where nobody says otherwise."""
PATIENCE_S = 60.0
_PUT = """
import sys
from pathlib import Path
from edgert.devices.names import find_device
from edgert.devices.ssh import open_ssh
transport = open_ssh(find_device(sys.argv[1]))
print(transport.put(Path(sys.argv[2])))
transport.close()
"""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command gave."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # Any: JSON
        return json.loads(self.out)


class Running:
    """A command in a process group of its own, as a shell starts it."""

    def __init__(self, command: list[str], laptop: Laptop, **variables: str) -> None:
        self._child = subprocess.Popen(
            command,
            env=_environment(laptop, variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def has_ended(self) -> bool:
        return self._child.poll() is not None

    def interrupt(self) -> None:
        """Does what Ctrl-C at a terminal does: SIGINT to every process of the group."""
        os.killpg(self._child.pid, signal.SIGINT)

    def end(self, timeout_s: float = PATIENCE_S) -> Done:
        """Waits for the end; nothing of the command's process group may be left then.

        Raises:
            AssertionError: it does not end, or leaves a process on the laptop.
        """
        try:
            out, err = self._child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            os.killpg(self._child.pid, signal.SIGKILL)
            out, err = self._child.communicate()
            raise AssertionError(f"not done within {timeout_s} s; it wrote {out!r} {err!r}") from error
        await_that(lambda: not _group_lives(self._child.pid), "a process of the command is left on the laptop")
        return Done(self._child.returncode, out, err)


def start(laptop: Laptop, *words: object, **variables: str) -> Running:
    """Starts an edgert command."""
    return Running([sys.executable, "-m", "edgert", *map(str, words)], laptop, **variables)


def edgert(laptop: Laptop, *words: object, timeout_s: float = PATIENCE_S, **variables: str) -> Done:
    """Runs an edgert command to its end."""
    return start(laptop, *words, **variables).end(timeout_s)


def start_put(laptop: Laptop, name: str, file: Path) -> Running:
    """Starts a program that does nothing but send a file to a device."""
    return Running([sys.executable, "-c", _PUT, name, str(file)], laptop)


def add(laptop: Laptop, board: EmulatedBoard, name: str = "pi") -> None:
    """Makes a board known to the laptop, its host key too."""
    laptop.trust(board)
    done = edgert(laptop, "devices", "add", name, board.url)
    assert done.status == 0, done.err


def await_that(is_so: Callable[[], bool], otherwise: str, timeout_s: float = 20.0) -> None:
    """Waits until `is_so`.

    Raises:
        AssertionError: it does not become so.
    """
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, otherwise
        time.sleep(0.02)


def await_idle(board: EmulatedBoard) -> None:
    """Waits until nothing of a user runs on the board any more, which the board sees to by itself.

    Raises:
        AssertionError: something runs on after the board's limit of silence.
    """
    try:
        await_that(lambda: not board.processes(), "", 1.5 * SILENCE_S + 10.0)
    except AssertionError as error:
        raise AssertionError(f"left on the board: {board.processes()}") from error


def kept_files(board: EmulatedBoard) -> list[str]:
    """Returns what edgert has on the board, without its own code and without environments."""
    folder = "/home/pi/.local/share/edgert"
    return [name for name in board.files(folder) if not name.startswith(("code/", "environments/"))]


class Terminal:
    """An edgert command at a terminal of its own; `typed` answers what it asks."""

    def __init__(self, laptop: Laptop, *words: object) -> None:
        self._master, slave = pty.openpty()
        self.seen = ""
        self._child = subprocess.Popen(
            [sys.executable, "-m", "edgert", *map(str, words)],
            env=_environment(laptop, {}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509  # one system call in a program without threads
        )
        os.close(slave)

    def await_text(self, text: str) -> None:
        """Reads until the text has been written since the last answer.

        Raises:
            AssertionError: the command says something else.
        """
        start = len(self.seen)
        await_that(lambda: self._read() or text in self.seen[start:], f"no {text!r} in:\n{self.seen}", PATIENCE_S)
        assert text in self.seen[start:], self.seen

    def type(self, line: str) -> None:
        os.write(self._master, f"{line}\n".encode())

    def end(self) -> int:
        """Reads to the end and returns the exit status."""
        await_that(self._read, f"it does not end:\n{self.seen}", PATIENCE_S)
        os.close(self._master)
        return self._child.wait(PATIENCE_S)

    def _read(self) -> bool:
        """True at the end."""
        if not select.select([self._master], [], [], 0.1)[0]:
            return False
        try:
            data = os.read(self._master, 4096)
        except OSError:  # what Linux gives when the last process has left the terminal
            return True
        self.seen += data.decode(errors="replace")
        return not data


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _environment(laptop: Laptop, variables: dict[str, str]) -> dict[str, str]:
    own = {"EDGERT_SILENCE_S": f"{SILENCE_S:g}", "EDGERT_RECORDS": str(laptop.home / "records")}
    own["PIP_CACHE_DIR"] = os.environ.get("PIP_CACHE_DIR", os.path.expanduser("~/.cache/pip"))  # may be empty
    return laptop.env | own | variables


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
