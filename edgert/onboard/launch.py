"""Starts the release of an app that is current: what a service unit runs, and what the plain supervisor asks.

    python -m edgert.onboard.launch BASE NAME

reads which release to run, goes to its folder, and becomes its program, in the environment and with the code that the
release names. Where there is no release it ends with status 78 (EX_CONFIG of sysexits.h), which no restart can mend.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgert.onboard.folder import BoardFolder
from edgert.onboard.manifest import ManifestError, read_manifest
from edgert.onboard.releases import ReleaseError, Releases

__all__ = ["NO_RELEASE", "LaunchError", "Start", "health_path", "main", "runtime_folder", "start_words"]

NO_RELEASE = 78
_SHARED_MEMORY = Path("/dev/shm")


class LaunchError(Exception):
    """There is nothing to start, or it cannot be started."""


@dataclass(frozen=True)
class Start:
    """How a release is started: its folder, which is where it runs, its words and its whole environment."""

    release: Path
    words: list[str]
    environment: dict[str, str]


def start_words(releases: Releases, inherited: Mapping[str, str]) -> Start:
    """Returns how the current release is started; `inherited` is the environment that it adds to.

    Raises:
        LaunchError: there is no release, it is damaged, or its code or environment is not on this board.
    """
    try:
        release = releases.current()
    except ReleaseError as error:
        raise LaunchError(str(error)) from error
    if release is None:
        raise LaunchError(f"{releases.place.name} has no release to run")
    base = releases.place.parent.parent
    try:
        manifest = read_manifest(release)
    except ManifestError as error:
        raise LaunchError(f"{release} cannot be started: {error}") from error
    code, environment = base / "code" / manifest.code, base / "environments" / manifest.environment
    for part in (code, environment):
        if not part.is_dir():
            raise LaunchError(f"{release} cannot be started: {part} is not on this board; deploy it again")
    python = environment / "bin" / "python"
    own = {
        "PYTHONPATH": str(code),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "EDGERT_RELEASE": release.name,
        "EDGERT_HEALTH_FILE": str(_fresh_health_path(releases.place)),
        "XDG_CACHE_HOME": str(base / "cache"),
        "XDG_CONFIG_HOME": str(base / "config"),
    }
    words = [str(python) if word == "{python}" else word for word in manifest.command]
    return Start(release, words, {**inherited, **own})


def health_path(place: Path) -> Path:
    """Where the app in `place` (Releases.place) writes how it is: in memory, since it is written every second.

    Below the user's manager that is the service's runtime folder. Else it is in /dev/shm: the folder of
    XDG_RUNTIME_DIR goes away with the last login, while the plain supervisor goes on. There the name holds the hash
    of the place: a user may have edgert in two.
    """
    name = place.name
    given = Path(os.environ.get("RUNTIME_DIRECTORY", ""))
    if given.name == f"edgert-{name}":
        return given / "health.json"
    of_service = runtime_folder() / f"edgert-{name}"
    if of_service.is_dir():
        return of_service / "health.json"
    own = hashlib.sha256(os.fsencode(place)).hexdigest()[:8]
    return _SHARED_MEMORY / f"edgert-{os.getuid()}" / f"{name}-{own}" / "health.json"


def runtime_folder() -> Path:
    """The folder of the user in memory; an SSH server without PAM does not name it."""
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")


def main() -> int:
    """Becomes the current release's program; returns only where that fails."""
    base, name = sys.argv[1:]
    try:
        start = start_words(Releases(BoardFolder(Path(base)), name), os.environ)
        os.chdir(start.release)
        os.execve(start.words[0], start.words, start.environment)
    except (LaunchError, ReleaseError, OSError) as error:
        sys.stderr.write(f"edgert: {error}\n")
    return NO_RELEASE


def _fresh_health_path(place: Path) -> Path:
    """Makes the folder ready for an app that starts; what an earlier start wrote there is gone."""
    path = health_path(place)
    shared = path.parent.parent
    try:
        if shared.parent == _SHARED_MEMORY:
            shared.mkdir(mode=0o700, exist_ok=True)
            found = shared.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
                raise LaunchError(f"{shared} is of another user: remove it, or restart the board")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
    except OSError as error:
        raise LaunchError(f"{path.parent}: no place for the app's health ({error.strerror})") from error
    return path


if __name__ == "__main__":
    raise SystemExit(main())
