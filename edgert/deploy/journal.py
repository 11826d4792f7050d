"""What a rollout has done so far, in a file, so that it can be resumed: `rollouts/ID.json` in the folder of settings.

The ID follows from the release and the names of the devices: the same command finds its own rollout again. The file is
replaced as a whole after every device. It says what was, not what is: a resumed rollout asks the devices again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgert.bundle import replace_atomically
from edgert.codec import CodecError, from_plain, parse_json, to_plain
from edgert.deploy.outcome import Outcome
from edgert.deploy.waves import Wave
from edgert.devices.names import Device
from edgert.errors import InputFileError, UsageError
from edgert.runtime.settings import settings_folder

__all__ = ["Journal", "begin_journal", "resume_journal"]

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class _StoredWave:
    devices: tuple[str, ...]
    is_canary: bool


@dataclass(frozen=True, slots=True)
class _File:
    schema: int
    release: str
    waves: tuple[_StoredWave, ...]
    outcomes: dict[str, Outcome]
    stopped: str | None = None


class Journal:
    """The file of one rollout; made by `begin_journal` and `resume_journal`."""

    def __init__(self, path: Path, stored: _File, waves: tuple[Wave, ...]) -> None:
        self.path = path
        self.waves = waves
        self._stored = stored

    def having(self) -> dict[str, Outcome]:
        """Returns the outcomes of those devices that got the release, by name."""
        return {name: outcome for name, outcome in self._stored.outcomes.items() if outcome.outcome.has_release}

    def add(self, outcome: Outcome) -> None:
        """Stores what came of one device; one of the same device is replaced.

        Raises:
            OutputError: the file cannot be written.
        """
        outcomes = self._stored.outcomes | {outcome.device: outcome}
        self._store(replace(self._stored, outcomes=outcomes))

    def end(self, stopped: str | None) -> None:
        """Stores that the rollout has gone through, or why it has not.

        Raises:
            OutputError: the file cannot be written.
        """
        self._store(replace(self._stored, stopped=stopped))

    def _store(self, stored: _File) -> None:
        replace_atomically(self.path, json.dumps(to_plain(stored), indent=1).encode() + b"\n")
        self._stored = stored


def begin_journal(release: str, waves: Sequence[Wave]) -> Journal:
    """Returns the journal of a rollout from its beginning; an earlier one of the same is forgotten.

    Raises:
        OutputError: the file cannot be written.
    """
    named = tuple(_StoredWave(tuple(device.name for device in wave.devices), wave.is_canary) for wave in waves)
    stored = _File(SCHEMA, release, named, {})
    journal = Journal(_path(release, [device for wave in waves for device in wave.devices]), stored, tuple(waves))
    journal.end(None)
    return journal


def resume_journal(release: str, devices: Sequence[Device]) -> Journal:
    """Returns the journal of a rollout that was begun, with the waves of then.

    Raises:
        UsageError: none was begun.
        InputFileError: the file is damaged, or of a newer edgert.
    """
    path = _path(release, devices)
    try:
        stored = _read(path)
    except FileNotFoundError as error:
        raise UsageError(
            f"no rollout of release {release} to these {len(devices)} devices was begun from here; "
            "leave --resume out to begin one"
        ) from error
    known = {device.name: device for device in devices}
    if sorted(name for wave in stored.waves for name in wave.devices) != sorted(known):
        raise _damaged(path, "its waves hold other devices")
    waves = tuple(Wave(tuple(known[name] for name in wave.devices), wave.is_canary) for wave in stored.waves)
    return Journal(path, stored, waves)


def _read(path: Path) -> _File:
    try:
        plain = parse_json(path.read_bytes())
        schema = plain.get("schema") if isinstance(plain, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise InputFileError(
                f"{path}: journal of a rollout of schema {schema}, by a newer edgert; this one reads schema {SCHEMA}: "
                "update edgert, or leave --resume out to begin anew"
            )
        if schema != SCHEMA:
            raise _damaged(path, f"schema {schema!r}")
        return from_plain(_File, plain)
    except FileNotFoundError:
        raise
    except (CodecError, ValueError, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, why: object) -> InputFileError:
    return InputFileError(f"{path}: the journal of this rollout is damaged ({why}); leave --resume out to begin anew")


def _path(release: str, devices: Sequence[Device]) -> Path:
    words = json.dumps([release, sorted(device.name for device in devices)])
    return settings_folder() / "rollouts" / f"{hashlib.sha256(words.encode()).hexdigest()[:16]}.json"
