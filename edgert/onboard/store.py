"""Puts a release together on a board from files that were sent before, by hard links: nothing is there twice."""

from __future__ import annotations

import os
from pathlib import Path

from edgert.onboard.folder import BoardFolder
from edgert.onboard.manifest import MANIFEST, Manifest, parse_manifest, release_id
from edgert.onboard.releases import ReleaseError, Releases

__all__ = ["add_release", "set_launcher", "stored_file"]


def add_release(folder: BoardFolder, text: bytes) -> str:
    """Makes the release of these bytes of a release.json; returns its ID.

    Raises:
        ManifestError: it is damaged or unsafe.
        ReleaseError: something that it refers to is not on this board.
        OSError: there is no room.
    """
    manifest, release = parse_manifest(text), release_id(text)
    releases = Releases(folder, manifest.app)
    for needed in (folder.code / manifest.code, folder.environments / manifest.environment):
        if not needed.is_dir():
            raise ReleaseError(f"{needed.name} is not on this board any more; deploy again")
    with folder.staging("release") as place:
        made = place / release
        made.mkdir()
        _link(folder, manifest, made)
        (made / MANIFEST).write_bytes(text)
        releases.add(release, made)
    return release


def stored_file(folder: BoardFolder, sha256: str) -> Path:
    """Returns the upload of that content.

    Raises:
        ReleaseError: it is not there.
    """
    found = next((path for path in sorted((folder.files / sha256).glob("*")) if path.is_file()), None)
    if found is None:
        raise ReleaseError(f"a file of the release was not sent: {sha256[:16]}")
    return found


def set_launcher(folder: BoardFolder, releases: Releases, code: str) -> None:
    """Makes the service of an app start with this code, from its next start on; one rename decides.

    Raises:
        OSError: nothing can be written.
    """
    link, fresh = releases.place / "launcher", releases.place / "launcher.new"
    wanted = f"../../code/{code}"
    if link.is_symlink() and os.readlink(link) == wanted and (folder.code / code).is_dir():
        return
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(wanted)
    os.replace(fresh, link)
    releases.flush("launcher set")


def _link(folder: BoardFolder, manifest: Manifest, made: Path) -> None:
    for name, sha256 in manifest.files.items():
        target = made / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(stored_file(folder, sha256), target)
