"""An app watched by edgert's own supervisor, for boards without systemd; cron starts it at boot where there is a cron.

`python -m edgert.onboard.plain_service BASE NAME` starts it, as cron and whatever else starts the board's programs do.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgert.onboard.folder import BoardFolder
from edgert.onboard.launch import health_path
from edgert.onboard.releases import Releases
from edgert.onboard.service import ServiceError, ServiceStatus, run_tool

__all__ = ["PlainService", "main"]

_WITHIN_S = 20.0
"""For so long the supervisor may take to start, to end the app, or to end."""
_UNNAMED = 0
_STARTER = '"$@" </dev/null >/dev/null 2>>"$0" &'
"""The shell that starts the supervisor ends at once, so that process 1 takes the supervisor over."""


class PlainService:
    """See Service in service.py.

    Args:
        folder: of edgert on the board.
        name: of the app.
        python: the board's interpreter.
        rules: further words for the supervisor, as in `watchdog_s=5`.
    """

    kind = "supervisor"

    def __init__(self, folder: BoardFolder, name: str, python: Path, rules: tuple[str, ...] = ()) -> None:
        self._place = Releases(folder, name).place
        self._base, self._name, self._python, self._rules = folder.base, name, python, rules

    @property
    def is_running(self) -> bool:
        """Whether a supervisor holds the app's lock."""
        return self._supervisor() is not None

    def install(self) -> None:
        """Has cron start it at boot, where there is a cron."""
        found = _crontab()
        if found is not None and self._boot_line() not in found:
            _set_crontab([*self._others(found), self._boot_line()])

    def restart(self) -> None:
        """Starts the current release; see Service. Returns when the supervisor has taken it up."""
        self.install()
        before = self._state()
        if self._signal(signal.SIGHUP):
            self._waits_for(lambda: not self.is_running or self._is_later_than(before))
        if not self.is_running:  # it was not, or has ended by itself
            self._start()

    def stop(self) -> None:
        """Ends the app, which stays ended."""
        found = _crontab()
        if found is not None and len(others := self._others(found)) < len(found):
            _set_crontab(others)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._signal(number) and self._waits_for(lambda: not self.is_running):
                return
        if self.is_running:
            raise ServiceError(f"the supervisor of {self._name} does not end")

    def remove(self) -> None:
        """Stops it and removes its log and its notes."""
        self.stop()
        for name in ("run.json", "run.new", "app.log", "app.log.1", "supervisor.lock"):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                (self._place / name).unlink()
        in_memory = health_path(self._place).parent
        shutil.rmtree(in_memory, ignore_errors=True)
        with contextlib.suppress(OSError):  # other apps are there
            in_memory.parent.rmdir()

    def status(self) -> ServiceStatus:
        """Returns how it is now."""
        state = self._state() if self.is_running else None
        pid = None if state is None else state["app"]
        reason = self._why_not_at_boot()
        return ServiceStatus(
            kind=self.kind,
            is_active=self.is_running,
            pid=pid if pid is not None and Path(f"/proc/{pid}").exists() else None,
            release=None if state is None else state["release"],
            is_ready=state is not None and bool(state["ready"]),
            restarts=0 if state is None else state["restarts"],
            last_status=None if state is None else state["last_status"],
            starts_at_boot=reason is None,
            starts_at_boot_reason=reason,
        )

    def log(self, lines: int) -> str:
        """Returns the last lines that the app wrote."""
        text = ""
        for name in ("app.log.1", "app.log"):
            with contextlib.suppress(OSError):
                text += (self._place / name).read_bytes().decode(errors="replace")
        return "".join(text.splitlines(keepends=True)[-lines:]) if lines > 0 else ""

    def _start(self) -> None:
        self._place.mkdir(parents=True, exist_ok=True)
        words = [str(self._python), "-m", "edgert.onboard.supervise", str(self._base), self._name, *self._rules]
        log = self._place / "app.log"
        said_bytes = _size_bytes(log)
        subprocess.run(
            ["/bin/sh", "-c", _STARTER, str(log), *words],
            check=False,
            env={**os.environ, "PYTHONPATH": str(self._place / "launcher"), "PYTHONNOUSERSITE": "1"},
            cwd="/",
            start_new_session=True,
        )
        if not self._waits_for(lambda: self._state() is not None or _size_bytes(log) > said_bytes):
            raise ServiceError(f"the supervisor of {self._name} does not start: {self.log(3).strip()}")

    def _signal(self, number: signal.Signals) -> bool:
        """Tells the supervisor; False where there is none."""
        if not self._waits_for(lambda: self._supervisor() != _UNNAMED):
            raise ServiceError(f"a process holds {self._place / 'supervisor.lock'} and does not say which")
        supervisor = self._supervisor()
        if supervisor is None or supervisor == _UNNAMED:  # 0 would be this process and all its group
            return False
        try:
            os.kill(supervisor, number)
        except ProcessLookupError:
            return False
        return True

    def _is_later_than(self, before: dict[str, Any] | None) -> bool:  # Any: JSON values
        state = self._state()
        return state is not None and (before is None or state["monotonic_s"] != before["monotonic_s"])

    def _state(self) -> dict[str, Any] | None:  # Any: JSON values
        """What the supervisor that runs now has noted of the app."""
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads((self._place / "run.json").read_text())
            if found["supervisor"] == self._supervisor():
                return found
        return None

    def _supervisor(self) -> int | None:
        """The process that holds the app's lock; None where nobody does, `_UNNAMED` where it has not said yet."""
        with contextlib.suppress(OSError), (self._place / "supervisor.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                text = lock.read()
                return int(text) if text.isdigit() else _UNNAMED
        return None

    def _boot_command(self) -> str:
        environment = f"PYTHONPATH={self._place / 'launcher'}"
        words = ["env", environment, str(self._python), "-m", "edgert.onboard.plain_service", str(self._base)]
        return shlex.join([*words, self._name])

    def _boot_line(self) -> str:
        return f"@reboot {self._boot_command()} {self._mark()}".replace("%", r"\%")  # which cron takes for a new line

    def _mark(self) -> str:
        return f"# edgert app {self._name} of {self._base}"

    def _others(self, lines: list[str]) -> list[str]:
        return [line for line in lines if not line.endswith(self._mark().replace("%", r"\%"))]

    def _why_not_at_boot(self) -> str | None:
        found = _crontab()
        if found is None:
            return (
                "this board has neither a systemd manager of the user nor cron -> have what starts the board run, "
                f"as this user: {self._boot_command()}"
            )
        if len(self._others(found)) == len(found):
            return "no line of the crontab starts it; deploy it again"
        return None if _cron_runs() else "its line is in the crontab, but no cron runs -> start the board's cron"

    @staticmethod
    def _waits_for(is_so: Callable[[], bool]) -> bool:
        deadline_s = time.monotonic() + _WITHIN_S
        while not is_so():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.05)
        return True


def _crontab() -> list[str] | None:
    """The lines of the user's crontab; None where there is no cron, or the user may not use it."""
    status, out, errors = run_tool("crontab", "-l")
    if status == 0:
        return out.splitlines()
    return [] if "no crontab" in errors else None


def _set_crontab(lines: list[str]) -> None:
    if not lines:
        run_tool("crontab", "-r")
        return
    status, _, errors = run_tool("crontab", "-", text="".join(f"{line}\n" for line in lines))
    if status:
        raise ServiceError(f"crontab refuses a line: {errors.strip()}")


def _cron_runs() -> bool:
    names = set()
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            names.add(path.read_text().strip())
    return not names.isdisjoint({"cron", "crond"})


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def main() -> int:
    """Starts the app, unless it runs."""
    base, name = sys.argv[1:]
    service = PlainService(BoardFolder(Path(base)), name, Path(sys.executable))
    try:
        if not service.is_running:
            service.restart()
    except ServiceError as error:
        sys.stderr.write(f"edgert: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
