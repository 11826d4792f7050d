"""An app as a service of the user's own systemd manager: no administrator is needed but, here and there, to linger."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from pathlib import Path

from edgert.onboard.folder import BoardFolder, flush_disk
from edgert.onboard.launch import runtime_folder
from edgert.onboard.linger import is_lingering
from edgert.onboard.service import Limits, ServiceError, ServiceStatus, run_tool, user_name
from edgert.onboard.unit_text import SANDBOX, UnitFacts, unit_text

__all__ = ["SystemdService", "manager_version"]

_ENDS_WITHIN_S = 30.0
"""More than the unit gives the app to end."""
_RUNS = {"active", "activating", "reloading", "refreshing"}
_ASKED = ("ActiveState", "MainPID", "NRestarts", "ExecMainCode", "ExecMainStatus", "UnitFileState", "InvocationID")


class SystemdService:
    """A unit below ~/.config/systemd/user, or where XDG_CONFIG_HOME says.

    Args:
        folder: of edgert on the board.
        name: of the app.
        python: the board's interpreter, which starts the launcher.
        limits: what the app may take.
    """

    kind = "systemd"

    def __init__(self, folder: BoardFolder, name: str, python: Path, limits: Limits) -> None:
        self._folder, self._name, self._python, self._limits = folder, name, python, limits
        self._unit = f"edgert-{name}.service"
        config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        self._place = config / "systemd" / "user"

    @property
    def is_installed(self) -> bool:
        """Whether the board has the unit."""
        return (self._place / self._unit).exists()

    def install(self) -> None:
        """Writes the unit where it is another than before, and enables it."""
        version = manager_version()
        if version is None:
            raise ServiceError("the systemd manager of this user does not answer; log in anew, or restart the board")
        self._folder.cache.mkdir(parents=True, exist_ok=True)
        facts = (self._folder.base, self._name, self._python, version, _has_sandbox(), self._limits)
        text = unit_text(UnitFacts(*facts))
        path = self._place / self._unit
        if not path.exists() or path.read_text() != text:
            self._write(path, text)
        self._systemctl("daemon-reload")
        self._systemctl("enable", self._unit)
        flush_disk(self._place)

    def restart(self) -> None:
        """Starts the current release; see Service. Returns when the app that ran before has ended."""
        before = self._ask()
        if before["UnitFileState"] != "enabled":
            self.install()
        self._systemctl("restart", "--no-block", self._unit)
        deadline_s = time.monotonic() + _ENDS_WITHIN_S
        while self._ask()["InvocationID"] == before["InvocationID"] and time.monotonic() < deadline_s:
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends the app, which stays ended."""
        if self.is_installed:
            self._systemctl("disable", "--now", self._unit)
            flush_disk(self._place)

    def remove(self) -> None:
        """Stops it, and removes the unit and what the app left in memory and in the cache."""
        self.stop()
        with contextlib.suppress(FileNotFoundError):
            (self._place / self._unit).unlink()
        (self._place / "default.target.wants" / self._unit).unlink(missing_ok=True)
        shutil.rmtree(self._folder.cache / "python" / self._name, ignore_errors=True)
        for folder in (self._place / "default.target.wants", self._place, self._place.parent):
            with contextlib.suppress(OSError):  # what others have there stays
                folder.rmdir()
        self._systemctl("daemon-reload")
        _systemctl("reset-failed", self._unit)  # fails where there is nothing to forget

    def status(self) -> ServiceStatus:
        """Returns how it is now."""
        found = self._ask()
        is_active = found["ActiveState"] in _RUNS
        pid = int(found["MainPID"] or 0) or None
        reason = self._why_not_at_boot(found["UnitFileState"] == "enabled")
        return ServiceStatus(
            kind=self.kind,
            is_active=is_active,
            pid=pid,
            release=None if pid is None else _release_of(pid),
            is_ready=found["ActiveState"] == "active",
            restarts=int(found["NRestarts"] or 0),
            last_status=self._last_status(found),
            starts_at_boot=reason is None,
            starts_at_boot_reason=reason,
        )

    def log(self, lines: int) -> str:
        """Returns the last lines of the journal, or what to do to be able to read it."""
        where = [f"--user-unit={self._unit}", f"--lines={lines}", "--no-pager", "--quiet", "--output=short-iso"]
        status, out, errors = run_tool("journalctl", *where)
        if out.strip():
            return out
        can_read = run_tool("journalctl", "--quiet", "--lines=1", "--no-pager", f"_UID={os.getuid()}")[1].strip()
        if status == 0 and can_read:
            return ""
        why = f" ({errors.strip()})" if errors.strip() else ""
        remedy = f"sudo usermod -aG systemd-journal {user_name()}, then log in anew"
        return f"the journal cannot be read by {user_name()}{why} -> {remedy}"

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        flush_disk(path.parent)
        os.replace(fresh, path)

    def _ask(self) -> dict[str, str]:
        out = self._systemctl("show", self._unit, f"--property={','.join(_ASKED)}")
        found: dict[str, str] = dict.fromkeys(_ASKED, "")
        for line in out.splitlines():
            key, _, value = line.partition("=")
            found[key] = value
        return found

    def _systemctl(self, *words: str) -> str:
        status, out, errors = _systemctl(*words)
        if status:
            raise ServiceError(f"systemctl --user {' '.join(words)} failed: {errors.strip() or f'status {status}'}")
        return out

    def _why_not_at_boot(self, is_enabled: bool) -> str | None:
        if not is_enabled:
            return f"it is not enabled -> systemctl --user enable {self._unit}"
        if not is_lingering():
            return f"it waits for a login -> sudo loginctl enable-linger {user_name()}"
        return None

    def _last_status(self, found: dict[str, str]) -> int | None:
        """Reads what the unit noted of its last end, which the manager forgets at the next start."""
        if found["ActiveState"] in _RUNS and found["NRestarts"] in {"", "0"}:
            return None  # it was ended from outside
        try:
            kind, status = (runtime_folder() / f"edgert-{self._name}" / "last").read_text().split()
        except (OSError, ValueError):
            ended = found["ActiveState"] in {"failed", "inactive"} and found["ExecMainCode"] not in {"", "0"}
            kind, status = ("exited" if found["ExecMainCode"] == "1" else "killed"), found["ExecMainStatus"]
            if not ended:
                return None
        if kind == "exited":
            return int(status)
        return -_signal_number(status)


def manager_version() -> int | None:
    """Returns the version of the user's systemd manager, or None where none answers."""
    status, out, _ = _systemctl("show", "--property=Version", "--value")
    number = re.match(r"\d+", out)
    return int(number[0]) if status == 0 and number else None


def _systemctl(*words: str) -> tuple[int, str, str]:
    return run_tool("systemctl", "--user", *words, environment={"XDG_RUNTIME_DIR": str(runtime_folder())})


def _has_sandbox() -> bool:
    """Whether a service of this user starts with `SANDBOX`: kernels and security modules may forbid it."""
    settings = [f"--property={key}={value}" for key, value in SANDBOX.items()]
    words = ("systemd-run", "--user", "--quiet", "--collect", "--wait", *settings, "/bin/true")
    return run_tool(*words, environment={"XDG_RUNTIME_DIR": str(runtime_folder())})[0] == 0


def _release_of(pid: int) -> str | None:
    """Reads which release a process was started from."""
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return None
    return next((word.partition("=")[2] for word in words if word.startswith("EDGERT_RELEASE=")), None)


def _signal_number(text: str) -> int:
    if text.isdigit():
        return int(text)
    try:
        return int(signal.Signals[f"SIG{text}"])
    except KeyError:
        return 0
