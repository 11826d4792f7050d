"""What keeps an app of a board running, seen from outside: the same words for systemd and for the plain supervisor."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Limits", "Service", "ServiceError", "ServiceStatus", "run_tool", "user_name"]

_TOOL_TIMEOUT_S = 60.0
_NOT_STARTED = 127


class ServiceError(Exception):
    """An app cannot be installed, started or stopped; the text says what the board answered."""


@dataclass(frozen=True)
class Limits:
    """What an app may take of a board, so that logins still work beside it; None is no limit.

    Only systemd keeps them: memory in percent of the board's, processor time in percent of one core.
    """

    memory_percent: int | None = 75
    cpu_percent: int | None = 90 * (os.cpu_count() or 1)
    tasks: int | None = 512


@dataclass(frozen=True)
class ServiceStatus:
    """How an app's service is now.

    Attributes:
        kind: "systemd" or "supervisor".
        is_active: it runs, or will be started again after a pause.
        pid: of the app's main process, while there is one.
        release: that this process was started from.
        is_ready: the app has said so (READY=1).
        restarts: by itself, since it was last started from outside.
        last_status: of the last end by itself: the exit status, or the negative number of the signal that ended it.
        starts_at_boot: with nobody logged in.
        starts_at_boot_reason: why not, and what to do.
    """

    kind: str
    is_active: bool
    pid: int | None
    release: str | None
    is_ready: bool
    restarts: int
    last_status: int | None
    starts_at_boot: bool
    starts_at_boot_reason: str | None


class Service(Protocol):
    """One app's service. Every call may be repeated, and mends what a power cut left of an earlier one.

    All of them raise ServiceError with what the board answered.
    """

    kind: str

    def install(self) -> None:
        """Makes it start at every boot, as far as the board lets it; starts nothing."""
        ...

    def restart(self) -> None:
        """Starts the release that is current now, or switches to it; does not wait until the app is ready."""
        ...

    def stop(self) -> None:
        """Ends the app, which stays ended at the next boot too."""
        ...

    def remove(self) -> None:
        """Stops it and leaves no trace."""
        ...

    def status(self) -> ServiceStatus:
        """Returns how it is now."""
        ...

    def log(self, lines: int) -> str:
        """Returns the last lines that the app wrote, or what to do to be able to read them."""
        ...


def run_tool(*words: str, text: str | None = None, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Runs a program of the board: its status (127 where there is none), output and errors."""
    try:
        done = subprocess.run(
            words,
            check=False,
            capture_output=True,
            input=text or "",
            encoding="utf-8",
            errors="replace",
            timeout=_TOOL_TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", **(environment or {})},
        )
    except FileNotFoundError:
        return _NOT_STARTED, "", f"{words[0]}: not found"
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"{words[0]}: {error}") from error
    return done.returncode, done.stdout, done.stderr


def user_name() -> str:
    """Name of the user of this process, as programs for the administrator take it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
