"""Which signed bundles were verified on this board: by this, an older one from outside is told from going back.

admitted/NAME.json    outlives the app, so that taking it away does not open the way for an old one
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from edgert.onboard.folder import BoardFolder, flush_disk, tell_step

__all__ = ["Admitted", "AdmittedError", "Version", "note_admitted", "read_admitted"]

SCHEMA = 1


class AdmittedError(Exception):
    """What was verified before cannot be read, so nothing signed is taken."""


@dataclass(frozen=True)
class Version:
    """A verified bundle: SHA-256 of its manifest, its number among releases, who signed it."""

    sha256: str
    release: int | None
    signer: str


@dataclass(frozen=True)
class Admitted:
    """What was verified for one app: the highest number ever, and what each release of the app holds."""

    schema: int = SCHEMA
    newest_release: int | None = None
    versions: dict[str, Version] = field(default_factory=dict)


def read_admitted(folder: BoardFolder, name: str) -> Admitted:
    """Returns what was verified for an app.

    Raises:
        AdmittedError: the file is damaged or of a newer edgert.
    """
    path = _path(folder, name)
    try:
        plain = json.loads(path.read_bytes())
        versions = {release: Version(**version) for release, version in plain.pop("versions").items()}
        found = Admitted(**plain, versions=versions)
    except FileNotFoundError:
        return Admitted()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise AdmittedError(f"{path} is damaged ({error}); remove it to take any signed release") from error
    if found.schema != SCHEMA:
        raise AdmittedError(f"{path} is of schema {found.schema}; this edgert knows {SCHEMA}")
    return found


def note_admitted(folder: BoardFolder, name: str, release: str, version: Version, standing: set[str]) -> None:
    """Keeps that the release of an app holds this bundle; of other releases, only those that stand are kept.

    Raises:
        AdmittedError: the file is damaged or of a newer edgert.
        OSError: nothing can be written.
    """
    before = read_admitted(folder, name)
    numbers = [number for number in (before.newest_release, version.release) if number is not None]
    versions = {key: kept for key, kept in before.versions.items() if key in standing} | {release: version}
    path = _path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(Admitted(newest_release=max(numbers, default=None), versions=versions))))
    flush_disk(path.parent)
    os.replace(fresh, path)
    tell_step("admitted")


def _path(folder: BoardFolder, name: str) -> Path:
    return folder.base / "admitted" / f"{name}.json"
