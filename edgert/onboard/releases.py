"""Releases of an app on a board: whole folders, one of which is current, and what happens when the power fails.

    apps/NAME/releases/ID/    a release, whole: made elsewhere, brought to the disk, then renamed
    apps/NAME/state.json      which release is trusted, which is on trial, which was trusted before

`state.json` alone decides what runs, and is only ever replaced as a whole. A new release is on trial until somebody
confirms it. A trial belongs to one boot of the board: after a power cut or a reboot in the middle of it, the trusted
release runs again. So at any moment there is exactly one release to run, and it is either trusted or being watched.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgert.onboard.folder import BoardFolder, flush_disk

__all__ = ["Releases", "ReleaseError", "State"]

SCHEMA = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ID = re.compile(r"[0-9a-f]{16}")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ReleaseError(Exception):
    """What was asked for cannot be done with the releases that are there."""


@dataclass(frozen=True)
class State:
    """`trusted` runs unless `trial` does, in the boot that `trial_boot` names; `previous` was trusted before."""

    schema: int = SCHEMA
    trusted: str | None = None
    previous: str | None = None
    trial: str | None = None
    trial_boot: str | None = None


class Releases:
    """The releases of one app.

    Args:
        folder: of edgert on the board.
        name: of the app.
        boot: what is different after every start of the board.
        after_step: called after every step that the disk sees, so that a test can cut the power there.
    """

    def __init__(
        self,
        folder: BoardFolder,
        name: str,
        *,
        boot: str | None = None,
        after_step: Callable[[str], None] = lambda step: None,
    ) -> None:
        if _NAME.fullmatch(name) is None:
            raise ReleaseError(f"no name for an app: {name!r}; lower-case letters, digits, '-' and '_'")
        self._folder = folder
        self.place = folder.base / "apps" / name
        self._boot = boot if boot is not None else _BOOT_ID.read_text().strip()
        self._after_step = after_step

    def path(self, release: str) -> Path:
        """Where a release is, or would be."""
        if _ID.fullmatch(release) is None:
            raise ReleaseError(f"no release: {release!r}")
        return self.place / "releases" / release

    def state(self) -> State:
        """What is known now; a trial of an earlier boot is over, and the trusted release runs.

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
        is_over = state.trial is not None and state.trial_boot != self._boot
        return replace(state, trial=None, trial_boot=None) if is_over else state

    def current(self) -> Path | None:
        """The release to run: that on trial, else the trusted one; None before the first was tried."""
        state = self.state()
        release = state.trial or state.trusted
        return None if release is None else self.path(release)

    def add(self, release: str, made: Path) -> Path:
        """Takes a folder, made on the same disk, as a release; one of that name that is there already stays.

        Raises:
            OSError: there is no room.
        """
        final = self.path(release)
        if not final.is_dir():
            final.parent.mkdir(parents=True, exist_ok=True)
            flush_disk(made)
            self._after_step("flushed")
            os.rename(made, final)
            self._after_step("added")
        return final

    def begin_trial(self, release: str) -> None:
        """Lets a release run in this boot, until `confirm` or `give_up`.

        Raises:
            ReleaseError: it is not there.
        """
        if not self.path(release).is_dir():
            raise ReleaseError(f"release {release} is not on this board")
        self._store(replace(self.state(), trial=release, trial_boot=self._boot))

    def confirm(self) -> State:
        """Trusts the release on trial and removes those that nothing needs any more.

        Raises:
            ReleaseError: none is on trial.
        """
        state = self.state()
        if state.trial is None:
            raise ReleaseError("no release is on trial; after a restart of the board the trusted one runs")
        previous = state.previous if state.trial == state.trusted else state.trusted
        confirmed = State(trusted=state.trial, previous=previous)
        self._store(confirmed)
        self._prune(confirmed)
        return confirmed

    def give_up(self) -> State:
        """Ends a trial: the trusted release, where there is one, runs again."""
        state = replace(self.state(), trial=None, trial_boot=None)
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

    def remove(self) -> None:
        """Removes the app."""
        if self.place.is_dir():
            with self._folder.staging("removed") as place:
                os.rename(self.place, place / "app")
                self._after_step("removed")

    def _store(self, state: State) -> None:
        """Replaces the state: the new text is on the disk before its name is, so a cut leaves the one or the other."""
        self.place.mkdir(parents=True, exist_ok=True)
        fresh = self.place / "state.new"
        with fresh.open("w") as stream:
            json.dump(asdict(state), stream)
            stream.flush()
            os.fsync(stream.fileno())
        self._after_step("state written")
        os.replace(fresh, self.place / "state.json")
        self._after_step("state replaced")
        flush_disk(self.place)
        self._after_step("state on disk")

    def _prune(self, state: State) -> None:
        kept = {state.trusted, state.previous, state.trial}
        for path in sorted((self.place / "releases").glob("*")):
            if path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)
                self._after_step("pruned")
