"""Keeps an app of a board running where there is no systemd: start, restart with back-off, watchdog, one log.

It speaks systemd's own protocol to the app (a socket named by NOTIFY_SOCKET; READY=1, WATCHDOG=1; see sd_notify(3)), so
an app need not know which of the two watches it. SIGHUP starts whatever release is current by then; SIGTERM ends both.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from edgert.onboard.child import become_child
from edgert.onboard.folder import BoardFolder
from edgert.onboard.launch import NO_RELEASE, LaunchError, Start, start_words
from edgert.onboard.releases import ReleaseError, Releases

__all__ = ["Rules", "RunState", "SupervisorError", "main", "supervise"]

_MAX_LOG_BYTES = 1 << 20
_LOCKED_S = 3.0
"""For so long another's lock is waited for: who only looks at it holds it for a moment."""


class SupervisorError(Exception):
    """The app cannot be watched."""


@dataclass(frozen=True)
class Rules:
    """Times in seconds.

    After `first_pause_s` an app that ended is started again, then after twice as long each time, `longest_pause_s` at
    most; one that ran for `steady_s` begins anew. One that was ready and says nothing for `watchdog_s` is killed; it
    has `end_s` to end by itself.
    """

    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0
    steady_s: float = 60.0
    watchdog_s: float = 30.0
    end_s: float = 10.0


@dataclass(frozen=True)
class RunState:
    """What `run.json` beside the releases says; `monotonic_s` is when the app was started."""

    supervisor: int
    app: int | None
    release: str
    monotonic_s: float
    ready: bool
    restarts: int
    last_status: int | None


class _Wishes:
    """What signals asked for."""

    def __init__(self) -> None:
        self.end = self.switch = False

    def listen(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGHUP, self._switch)

    def _end(self, *_: object) -> None:
        self.end = True

    def _switch(self, *_: object) -> None:
        self.switch = True


class _App:
    """One start of the app: its process, its words to the watchdog, its output on the way to the log."""

    def __init__(self, start: Start, log: Path, rules: Rules) -> None:
        self.release, self._rules, self._log = start.release, rules, log
        self.started_s = self._heard_s = time.monotonic()
        self.is_ready = False
        self._writes = True
        self._words = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._words.bind(b"\0edgert-%d-%d" % (os.getpid(), time.monotonic_ns()))  # abstract: no file to remove
        self._words.setblocking(False)
        name = self._words.getsockname()[1:].decode()
        own = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": str(int(rules.watchdog_s * 1e6))}
        self.child = subprocess.Popen(
            start.words,
            cwd=start.release,
            env={**start.environment, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=become_child,  # noqa: PLW1509  # only system calls in a program without threads
        )
        assert self.child.stdout is not None
        self._output = self.child.stdout
        os.set_blocking(self._output.fileno(), False)

    def look(self, wait_s: float) -> int | None:
        """Takes what came within `wait_s`; returns the status of an app that ended, or was silent and was killed."""
        sources = [self._words.fileno(), *([self._output.fileno()] if self._writes else [])]
        for source in select.select(sources, [], [], wait_s)[0]:
            self._take_words() if source == self._words.fileno() else self._take_output()
        status = self.child.poll()
        if status is None and self.is_ready and time.monotonic() - self._heard_s > self._rules.watchdog_s:
            self._write(f"edgert: no sign of life for {self._rules.watchdog_s:g} s, killed\n".encode())
            self.kill()
            status = self.child.wait()
        if status is not None:
            self.kill()  # what it left running
            self._take_output()
        return status

    def end(self) -> int:
        """Asks the app to end, and kills it where it does not."""
        with contextlib.suppress(ProcessLookupError):
            self.child.terminate()
        deadline_s = time.monotonic() + self._rules.end_s
        while self.child.poll() is None and time.monotonic() < deadline_s:
            self.look(0.1)
        self.kill()
        return self.child.wait()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child.pid, signal.SIGKILL)

    def close(self) -> None:
        self._words.close()
        self._output.close()

    def _take_words(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                lines = self._words.recv(4096).decode(errors="replace").splitlines()
                self.is_ready = self.is_ready or "READY=1" in lines
                self._heard_s = time.monotonic()

    def _take_output(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._output.fileno(), 1 << 16):
                self._write(data)
            self._writes = False  # it closed its output

    def _write(self, data: bytes) -> None:
        """Appends to the log; a full one becomes the old one, so both together stay small."""
        with contextlib.suppress(OSError):  # a full disk must not end the app
            if self._log.exists() and self._log.stat().st_size > _MAX_LOG_BYTES:
                os.replace(self._log, self._log.with_suffix(".log.1"))
            with self._log.open("ab") as stream:
                stream.write(data)


def supervise(releases: Releases, rules: Rules, wishes: _Wishes) -> None:
    """Keeps the current release running until a signal says to end.

    Raises:
        SupervisorError: it is watched already, or the app's program cannot be started.
        LaunchError: there is no release, or it is damaged.
    """
    with _alone(releases.place):
        pause_s, restarts, last_status = rules.first_pause_s, 0, None
        while not wishes.end:
            if wishes.switch:
                wishes.switch, pause_s, restarts, last_status = False, rules.first_pause_s, 0, None
            app = _start(releases, rules)
            try:
                note = _noting(releases.place, app, restarts, last_status)
                status = _watch(app, wishes, note)
                last_status = app.end() if status is None else status
            finally:
                app.close()
            if wishes.end or wishes.switch:
                continue
            if time.monotonic() - app.started_s > rules.steady_s:
                pause_s = rules.first_pause_s
            _pause(pause_s, wishes)
            pause_s, restarts = min(2 * pause_s, rules.longest_pause_s), restarts + 1


def main() -> int:
    """Runs as `python -m edgert.onboard.supervise BASE APP`; further words set `Rules`, as in `watchdog_s=5`."""
    base, name, *settings = sys.argv[1:]
    wishes = _Wishes()
    wishes.listen()
    rules = Rules(**{key: float(value) for key, _, value in (word.partition("=") for word in settings)})
    try:
        supervise(Releases(BoardFolder(Path(base)), name), rules, wishes)
    except (SupervisorError, LaunchError, ReleaseError) as error:
        sys.stderr.write(f"edgert: {error}\n")
        return NO_RELEASE if isinstance(error, LaunchError) else 1
    return 0


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Holds the app's lock, in which the supervisor's number is."""
    place.mkdir(parents=True, exist_ok=True)
    with (place / "supervisor.lock").open("a+") as lock:
        _lock(lock.fileno(), place.name)
        with contextlib.suppress(OSError):  # a full disk must not end the app
            lock.truncate(0)
            os.write(lock.fileno(), str(os.getpid()).encode())
        try:
            yield
        finally:
            (place / "run.json").unlink(missing_ok=True)


def _lock(lock: int, name: str) -> None:
    deadline_s = time.monotonic() + _LOCKED_S
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if time.monotonic() > deadline_s:
                raise SupervisorError(f"{name} is watched by another process already") from error
        time.sleep(0.05)


def _start(releases: Releases, rules: Rules) -> _App:
    start = start_words(releases, os.environ)
    try:
        return _App(start, releases.place / "app.log", rules)
    except OSError as error:
        raise SupervisorError(f"{start.release} cannot be started: {error}") from error


def _noting(place: Path, app: _App, restarts: int, last_status: int | None) -> Callable[[], None]:
    def note() -> None:
        state = RunState(
            os.getpid(), app.child.pid, app.release.name, app.started_s, app.is_ready, restarts, last_status
        )
        fresh = place / "run.new"
        with contextlib.suppress(OSError):  # a full disk must not end the app
            fresh.write_text(json.dumps(asdict(state)))
            os.replace(fresh, place / "run.json")

    return note


def _watch(app: _App, wishes: _Wishes, note: Callable[[], None]) -> int | None:
    """Returns the status of an app that ended, or None where a signal wants something."""
    was_ready = app.is_ready
    note()
    while not (wishes.end or wishes.switch):
        status = app.look(0.2)
        if status is not None:
            return status
        if app.is_ready != was_ready:
            was_ready = app.is_ready
            note()
    return None


def _pause(pause_s: float, wishes: _Wishes) -> None:
    deadline_s = time.monotonic() + pause_s
    while time.monotonic() < deadline_s and not (wishes.end or wishes.switch):
        time.sleep(min(0.1, pause_s))


if __name__ == "__main__":
    raise SystemExit(main())
