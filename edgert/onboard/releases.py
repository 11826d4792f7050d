"""Releases of an app on a board: whole folders, one of which is current, and what happens when the power fails.

    apps/NAME/releases/ID/    a release, whole: made elsewhere, brought to the disk, then renamed
    apps/NAME/state.json      which release is trusted, which is on trial, which was trusted before
    apps/NAME/trial.lock      held by the process that watches a trial

`state.json` alone decides what runs, and is only ever replaced as a whole. A new release is on trial until somebody
confirms it. A trial lasts as long as its watcher: after a power cut, or when the watcher was killed, the trusted
release runs again. So at any moment there is exactly one release to run, and it is either trusted or being watched.

After every step that the disk sees, `tell_step` lets tests cut the power.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgert.onboard.folder import BoardFolder, flush_disk, tell_step
from edgert.onboard.manifest import ManifestError, read_manifest

__all__ = ["ReleaseError", "Releases", "State"]

SCHEMA = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ID = re.compile(r"[0-9a-f]{16}")
_LOCK_S = 5.0
_POLL_S = 0.05


class ReleaseError(Exception):
    """What was asked for cannot be done with the releases that are there."""


@dataclass(frozen=True)
class State:
    """`trusted` runs unless `trial` does, which somebody watches then; `previous` was trusted before."""

    schema: int = SCHEMA
    trusted: str | None = None
    previous: str | None = None
    trial: str | None = None

    @property
    def current(self) -> str | None:
        """The release to run; None before the first was tried."""
        return self.trial or self.trusted


class Releases:
    """The releases of one app.

    Args:
        folder: of edgert on the board.
        name: of the app.

    Raises:
        ReleaseError: the name is none.
    """

    def __init__(self, folder: BoardFolder, name: str) -> None:
        if _NAME.fullmatch(name) is None:
            raise ReleaseError(f"no name for an app: {name!r}; lower-case letters, digits, '-' and '_'")
        self._folder, self.name = folder, name
        self.place = folder.base / "apps" / name

    def path(self, release: str) -> Path:
        """Where a release is, or would be."""
        if _ID.fullmatch(release) is None:
            raise ReleaseError(f"no release: {release!r}")
        return self.place / "releases" / release

    def state(self) -> State:
        """What is known now; a trial that nobody watches is over, and the trusted release runs.

        Raises:
            ReleaseError: the state is damaged or of a newer edgert.
        """
        try:
            found = json.loads((self.place / "state.json").read_text())
            state = State(**found)
        except FileNotFoundError:
            return State()
        except (OSError, ValueError, TypeError) as error:
            raise ReleaseError(f"{self.place / 'state.json'} is damaged: {error}") from error
        if state.schema != SCHEMA:
            raise ReleaseError(f"{self.place / 'state.json'} is of schema {state.schema}; this edgert knows {SCHEMA}")
        return state if state.trial is None or self._is_watched() else replace(state, trial=None)

    def current(self) -> Path | None:
        """The release to run: that on trial, else the trusted one; None before the first was tried."""
        release = self.state().current
        return None if release is None else self.path(release)

    def has_lost_trial(self) -> bool:
        """True where a trial was begun whose watcher is gone: the release may still run, and is not trusted."""
        try:
            begun = json.loads((self.place / "state.json").read_text()).get("trial")
        except (OSError, ValueError, AttributeError):
            return False
        return begun is not None and not self._is_watched()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Makes the caller the one who watches trials, and who alone changes what runs.

        Raises:
            ReleaseError: another process is at it.
        """
        self.place.mkdir(parents=True, exist_ok=True)
        with (self.place / "trial.lock").open("a") as lock:
            _take(lock.fileno())
            yield

    def add(self, release: str, made: Path) -> Path:
        """Takes a folder, made on the same disk, as a release; one of that name that is there already stays.

        Raises:
            OSError: there is no room.
        """
        final = self.path(release)
        if not final.is_dir():
            final.parent.mkdir(parents=True, exist_ok=True)
            flush_disk(made)
            tell_step("flushed")
            os.rename(made, final)
            tell_step("added")
        return final

    def begin_trial(self, release: str) -> None:
        """Lets a release run until `confirm` or `give_up`, while the caller is `watching`.

        Raises:
            ReleaseError: it is not there.
        """
        if not self.path(release).is_dir():
            raise ReleaseError(f"release {release} is not on this board")
        self._store(replace(self.state(), trial=release))

    def confirm(self) -> State:
        """Trusts the release on trial and removes those that nothing needs any more.

        Raises:
            ReleaseError: none is on trial.
        """
        state = self.state()
        if state.trial is None:
            raise ReleaseError("no release is on trial; the trusted one runs")
        previous = state.previous if state.trial == state.trusted else state.trusted
        confirmed = State(trusted=state.trial, previous=previous)
        self._store(confirmed)
        self._prune(confirmed)
        return confirmed

    def give_up(self) -> State:
        """Ends a trial: the trusted release, where there is one, runs again."""
        state = replace(self.state(), trial=None)
        self._store(state)
        self._prune(state)
        return state

    def go_back(self) -> State:
        """Puts the previous trusted release on trial, so that it is checked as a new one is.

        Raises:
            ReleaseError: there is none.
        """
        state = self.state()
        if state.previous is None or not self.path(state.previous).is_dir():
            raise ReleaseError("there is no earlier release on this board to go back to")
        self.begin_trial(state.previous)
        return self.state()

    def flush(self, step: str) -> None:
        """Brings what was renamed to the disk, and says so."""
        flush_disk(self.place)
        tell_step(step)

    def remove(self) -> None:
        """Removes the app with all its releases."""
        self._prune(State())
        if self.place.is_dir():
            with self._folder.staging("removed") as place:
                os.rename(self.place, place / "app")
                tell_step("removed")

    def _store(self, state: State) -> None:
        """Replaces the state: the new text is on the disk before its name is, so a cut leaves the one or the other."""
        self.place.mkdir(parents=True, exist_ok=True)
        fresh = self.place / "state.new"
        with fresh.open("w") as stream:
            json.dump(asdict(state), stream)
            stream.flush()
            os.fsync(stream.fileno())
        tell_step("state written")
        os.replace(fresh, self.place / "state.json")
        tell_step("state replaced")
        self.flush("state on disk")

    def _prune(self, state: State) -> None:
        kept = {state.trusted, state.previous, state.trial}
        for path in sorted((self.place / "releases").glob("*")):
            if path.name not in kept:
                self._remove_release(path)

    def _remove_release(self, path: Path) -> None:
        """Renamed first: a release that is half removed must never be taken for one."""
        try:
            hashes = set(read_manifest(path).files.values())
        except ManifestError:
            hashes = set()
        with contextlib.suppress(OSError):  # the next one removes it
            with self._folder.staging("removed") as place:
                os.rename(path, place / path.name)
                tell_step("release removed")
            self._folder.drop_files(hashes)

    def _is_watched(self) -> bool:
        """A shared lock is asked for, so that two who look do not take each other for the watcher."""
        try:
            with (self.place / "trial.lock").open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False


def _take(lock: int) -> None:
    deadline_s = time.monotonic() + _LOCK_S
    while not _is_taken(lock):
        if time.monotonic() > deadline_s:
            raise ReleaseError("another deploy or rollback of this app is under way on this board")
        time.sleep(_POLL_S)


def _is_taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
