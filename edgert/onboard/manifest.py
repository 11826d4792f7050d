"""What a release of an app is made of: release.json, written on the laptop, read by everything on the board."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["MANIFEST", "Manifest", "ManifestError", "parse_manifest", "read_manifest", "release_id"]

MANIFEST = "release.json"
SCHEMA = 1
_MOST_BYTES = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENVIRONMENT = re.compile(r"[0-9a-f]{16}")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,120}")


class ManifestError(Exception):
    """A release.json that is none."""


@dataclass(frozen=True)
class Manifest:
    """A release.

    Attributes:
        schema: of this file.
        app: its name.
        files: SHA-256 by path below the release's folder.
        code: SHA-256 of edgert's board part that it runs with.
        environment: the private environment that it runs with.
        bundle: which of the files is its model.
        command: `{python}` in it stands for the environment's.
    """

    schema: int
    app: str
    files: dict[str, str]
    code: str
    environment: str
    bundle: str
    command: list[str]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise ManifestError(f"a release of schema {self.schema}; this edgert knows {SCHEMA}")
        for name, sha256 in self.files.items():
            if not _is_path(name) or name == MANIFEST or not _SHA256.fullmatch(sha256):
                raise ManifestError(f"no name or SHA-256 of a file in a release: {name!r}, {sha256!r}")
        if not _SHA256.fullmatch(self.code) or not _ENVIRONMENT.fullmatch(self.environment):
            raise ManifestError(f"no code or environment: {self.code!r}, {self.environment!r}")
        if self.bundle not in self.files:
            raise ManifestError(f"the bundle {self.bundle!r} is not among the files")
        if not self.command:
            raise ManifestError("no command")


def parse_manifest(text: bytes) -> Manifest:
    """Reads the bytes of a release.json.

    Raises:
        ManifestError: it is damaged, unsafe or of another schema.
    """
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ManifestError("a release that is no object")
        return Manifest(**found)
    except (ValueError, TypeError, AttributeError) as error:
        raise ManifestError(f"a release that cannot be read: {error}") from error


def read_manifest(release: Path) -> Manifest:
    """Returns the manifest in a release's folder.

    Raises:
        ManifestError: it is not there, damaged or of another schema.
    """
    try:
        with (release / MANIFEST).open("rb") as stream:
            return parse_manifest(stream.read(_MOST_BYTES))
    except OSError as error:
        raise ManifestError(f"{release / MANIFEST}: {error.strerror}") from error


def release_id(text: bytes) -> str:
    """Returns the name of the release with this release.json."""
    return hashlib.sha256(text).hexdigest()[:16]


def _is_path(name: str) -> bool:
    return all(_PART.fullmatch(part) for part in name.split("/")) and ".." not in PurePosixPath(name).parts
