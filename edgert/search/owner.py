"""Who runs a trial, and whether that process is still there.

On the same computer the system knows. Of another computer only a count is seen, which its worker raises while it
lives: who has not seen it rise for a while, by its own clock, takes the trial over. No two clocks are compared.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Heart", "Owner", "Watch", "this_process"]

BEAT_S = 5.0
SILENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Owner:
    """A process: `place` is a start of a computer (or of a container on it), `born` tells processes of one ID apart."""

    place: str
    process: int
    born: str


def this_process() -> Owner:
    """Returns the owner that this process is."""
    return Owner(_place(), os.getpid(), _born(os.getpid()) or "")


def _place() -> str:
    parts = [platform.node()]
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
            parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _born(process: int) -> str | None:
    """When a process began, in the system's own unit; "" where it cannot be known, None where it is gone."""
    if sys.platform == "linux":
        try:
            state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if state in {"Z", "X"} else fields[18]
    if sys.platform == "win32":
        return ""  # asking is not possible with the standard library alone: the count decides
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return ""
    return ""


@dataclass
class Watch:
    """Decides which owners are gone, from what one worker sees time after time; `clock` gives seconds."""

    silence_s: float = SILENCE_S
    me: Owner = field(default_factory=this_process)
    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[object, float]] = field(default_factory=dict)

    def is_gone(self, trial: str, owner: Owner | None, beat: int) -> bool:
        """Whether nobody runs a trial any more: released, its process is gone, or its count stands still."""
        if owner is None:
            return True
        if owner.place == self.me.place and _born(owner.process) != owner.born:
            return True
        now, last = self.clock(), self._seen.get(trial)
        if last is None or last[0] != (owner, beat):
            self._seen[trial] = ((owner, beat), now)
            return False
        return owner != self.me and now - last[1] > self.silence_s


class Heart:
    """Raises the count of the trials that this process runs, every few seconds, from a thread of its own."""

    def __init__(self, beat: Callable[[int], None], period_s: float = BEAT_S) -> None:
        self._beat, self._period_s = beat, period_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="edgert-search-heart", daemon=True)

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while not self._ended.wait(self._period_s):
            count += 1
            # what fails here fails where trials are finished, too, and is said there
            with contextlib.suppress(Exception):
                self._beat(count)
