"""Where edgert keeps what it has on a board: one folder of the user, `~/.local/share/edgert`, and nothing outside it.

code/HASH/           edgert's own board part
environments/ID/     a private virtual environment: numpy and engines; `current` names the one in use
files/SHA256/NAME    uploads, whole and verified
apps/NAME/           releases of an app (edgert.onboard.releases); what they run with is kept
admitted/NAME.json   which signed releases of an app were verified here, whether it stands or not
incoming/SHA256      uploads that are not whole yet; they go on where they stopped
tmp/                 what is being made, and temporary files of workers; each locked by its owner
config/ cache/       settings and caches of the workers
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["BoardFolder", "flush_disk", "is_free", "tell_step"]

_KEPT_PARTS_S = 7 * 86400.0
_UNLOCKED_S = 60.0


class BoardFolder:
    """The folder, and rules that keep it clean. Whatever is made is made in `tmp` and renamed when it is whole.

    Attributes:
        is_ending: set when the connection has ended; whoever makes something then stops and removes it.
    """

    def __init__(self, base: Path) -> None:
        self.is_ending = threading.Event()
        self.base = base
        self.code, self.environments = base / "code", base / "environments"
        self.files, self.incoming = base / "files", base / "incoming"
        self.tmp, self.config, self.cache = base / "tmp", base / "config", base / "cache"

    @contextmanager
    def staging(self, purpose: str) -> Iterator[Path]:
        """Gives a new folder for as long as the block runs; after a power cut, `sweep` removes it.

        Raises:
            OSError: there is no room, or nothing can be written.
        """
        self.tmp.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"{purpose}-", dir=self.tmp))
        lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
            os.close(lock)

    @contextmanager
    def using(self, place: Path) -> Iterator[None]:
        """Keeps code or an environment that is in use from being removed by another connection."""
        lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield
        finally:
            os.close(lock)

    def sweep(self, now_s: float | None = None) -> None:
        """Removes code and temporary files that nobody holds, and uploads that nobody resumed for a week.

        What cannot be removed stays: a disk that takes no writes must not keep anybody from reading.
        """
        needed = self.needed()
        for place in (*_entries(self.tmp), *_entries(self.code)):
            if place not in needed and _is_abandoned(place):
                shutil.rmtree(place, ignore_errors=True)
        oldest_s = (time.time() if now_s is None else now_s) - _KEPT_PARTS_S
        for part in _entries(self.incoming):
            with contextlib.suppress(OSError):
                if part.stat().st_mtime < oldest_s and is_free(part):
                    part.unlink()

    def needed(self) -> set[Path]:
        """Returns the code and environments that releases and launchers of apps refer to."""
        found = set()
        for manifest in sorted(self.base.glob("apps/*/releases/*/release.json")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                plain = json.loads(manifest.read_bytes())
                found |= {self.code / str(plain["code"]), self.environments / str(plain["environment"])}
        for launcher in self.base.glob("apps/*/launcher"):
            with contextlib.suppress(OSError):
                found.add(self.code / os.readlink(launcher).rpartition("/")[2])
        return found

    def drop_files(self, hashes: Iterable[str]) -> None:
        """Removes uploads that are nowhere but in `files`: a release holds its files by hard links."""
        for sha256 in hashes:
            names = _entries(self.files / sha256)
            with contextlib.suppress(OSError):
                if all(path.stat().st_nlink <= len(names) for path in names):
                    shutil.rmtree(self.files / sha256, ignore_errors=True)

    def remove(self) -> None:
        """Removes everything.

        Raises:
            OSError: something cannot be removed.
        """
        if self.base.is_dir():
            shutil.rmtree(self.base)

    def free_bytes(self) -> int:
        """Room that is left where the folder is, or will be."""
        place = self.base
        while not place.exists():
            place = place.parent
        found = os.statvfs(place)
        return found.f_bavail * found.f_frsize


def tell_step(words: str) -> None:
    """Tells whoever listens that a step is done that the disk sees (PEP 578): tests cut the power after each."""
    sys.audit("edgert.step", words)


def flush_disk(folder: Path) -> None:
    """Brings what was written to the disk: after a power cut, a renamed folder may else hold empty files."""
    opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        ctypes.CDLL(None).syncfs(opened)
    finally:
        os.close(opened)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_abandoned(place: Path) -> bool:
    """True where nobody holds the folder's lock; what is younger than a minute may not be locked yet."""
    try:
        if time.time() - place.stat().st_mtime < _UNLOCKED_S:
            return False
    except OSError:
        return False
    return is_free(place)


def is_free(place: Path) -> bool:
    """True where no process holds the lock of a file or folder."""
    try:
        lock = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(lock)
