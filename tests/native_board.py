"""A Linux board that is this computer: a program called `ssh` stands in for the network, all else is as on a board.

Its home is a folder, its Python a virtual environment of its own, its processes those with that home. The power can be
cut, also by the board's own edgert after a step that it tells (edgert.onboard.folder.tell_step).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["NAME", "NativeBoard", "await_that", "make_native_board"]

NAME = "board"
_SSH = """#!/bin/sh
[ "$1" = -V ] && exec /usr/bin/ssh -V
[ -e '{home}/../off' ] && echo 'ssh: connect to host board.local port 22: No route to host' >&2 && exit 255
# the last word is the command; a login shell has the board's own PATH and home
for word; do command=$word; done
cd '{home}'
exec env -i HOME='{home}' PATH='{path}:/usr/bin:/bin' /bin/sh -c "$command"
"""
_HOOK = """
import os, signal, sys

def hear(event, words):
    if event != "edgert.step":
        return
    home = os.environ["HOME"]
    with open(home + "/../steps", "a+") as file:
        file.write(words[0] + "\\n")
        file.flush()
        file.seek(0)
        count = len(file.readlines())
    try:
        with open(home + "/../cut") as file:
            after = int(file.read())
    except OSError:
        return
    if count != after:
        return
    open(home + "/../off", "w").close()
    mark = ("HOME=" + home).encode()
    for name in os.listdir("/proc"):
        try:
            with open("/proc/" + name + "/environ", "rb") as file:
                if mark in file.read().split(b"\\0") and int(name) != os.getpid():
                    os.kill(int(name), signal.SIGKILL)
        except (OSError, ValueError):
            pass
    os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hear)
"""


@dataclass(frozen=True)
class Done:
    """What a command gave."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # Any: JSON
        return json.loads(self.out)


@dataclass(frozen=True)
class NativeBoard:
    """The board, known to edgert as `NAME` after `add`, and the laptop's environment."""

    folder: Path
    environment: dict[str, str]

    @property
    def home(self) -> Path:
        """The home of the board's user."""
        return self.folder / "home"

    @property
    def base(self) -> Path:
        """The folder of edgert on the board."""
        return self.home / ".local/share/edgert"

    @property
    def python(self) -> Path:
        """The board's Python."""
        return self.folder / "bin/python3"

    def edgert(self, *words: object, timeout_s: float = 300.0) -> Done:
        """Runs an edgert command of the laptop."""
        done = subprocess.run(
            [sys.executable, "-m", "edgert", *map(str, words)],
            check=False,
            capture_output=True,
            text=True,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def json(self, *words: object) -> Any:  # Any: JSON
        """Runs a command that must succeed; returns its JSON."""
        done = self.edgert(*words, "--json")
        assert done.status == 0, done.err + done.out
        return done.json

    def processes(self) -> dict[int, list[str]]:
        """Returns the words of the board's processes by their number."""
        mark, found = f"HOME={self.home}".encode(), {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().decode().split("\0")
        return found

    def cut_power(self) -> None:
        """Kills all processes of the board."""
        while found := self.processes():
            for number in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            time.sleep(0.01)

    def cut_power_after(self, steps: int | None) -> None:
        """The power, which is on, will be cut after so many steps from now on; None: it will not."""
        (self.folder / "steps").unlink(missing_ok=True)
        (self.folder / "cut").unlink(missing_ok=True)
        (self.folder / "off").unlink(missing_ok=True)
        if steps is not None:
            (self.folder / "cut").write_text(str(steps))

    @property
    def steps(self) -> list[str]:
        """The steps told since `cut_power_after`."""
        path = self.folder / "steps"
        return path.read_text().splitlines() if path.exists() else []

    def power_on(self, app: str) -> None:
        """Does what starts the board: the command that `edgert status` prints where there is no systemd."""
        launcher = self.base / "apps" / app / "launcher"
        if launcher.is_dir():
            environment = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(launcher)}
            command = [str(self.python), "-m", "edgert.onboard.plain_service", str(self.base), app]
            subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL, timeout=60)


def make_native_board(folder: Path, python: Path | None = None) -> NativeBoard:
    """Makes a board in a folder, and the laptop's settings for it; `python` None: as the one that runs this."""
    programs, path, home = folder / "laptop", folder / "bin", folder / "home"
    for place in (programs, home):
        place.mkdir(parents=True)
    if python is None:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
        (site,) = folder.glob("lib/python3*/site-packages")
        (site / "sitecustomize.py").write_text(_HOOK)
    else:
        path.mkdir()
        (path / "python3").symlink_to(python)
    _write_program(programs / "ssh", _SSH.format(home=home, path=path))
    for name in ("systemctl", "crontab"):  # those of this computer are not the board's
        _write_program(path / name, "#!/bin/sh\necho none on this board >&2\nexit 1\n")
    laptop = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "EDGERT_SETTINGS": str(folder / "settings")}
    return NativeBoard(folder, {**os.environ, **laptop, "EDGERT_RECORDS": str(folder / "records")})


def _write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def await_that(is_so: Callable[[], bool], otherwise: str, timeout_s: float = 30.0) -> None:
    """Waits until `is_so`.

    Raises:
        AssertionError: it does not become so.
    """
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, otherwise
        time.sleep(0.02)
