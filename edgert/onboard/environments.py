"""The private virtual environment: wheels unpacked beside a `pyvenv.cfg`, so that neither pip nor venv is needed.

A wheel is a zip whose files belong into site-packages (PEP 427); its scripts are left out, since nothing here calls
them. An environment is made under another name and renamed when it is whole; the one in use is named by a small file.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import dataclass
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path, PurePosixPath

from edgert.onboard.child import become_child
from edgert.onboard.folder import BoardFolder, flush_disk, is_free

__all__ = [
    "Environment",
    "SetupError",
    "current_environment",
    "make_environment",
    "pip_environment",
    "remove_old_environments",
]

_NAME = re.compile(r"[0-9a-f]{16}")
_PIP_TIMEOUT_S = 1800.0


class SetupError(Exception):
    """An environment cannot be made."""


@dataclass(frozen=True)
class Environment:
    """A private environment: its folder and its interpreter."""

    folder: Path

    @property
    def python(self) -> Path:
        """The interpreter, a link to the board's own."""
        return self.folder / "bin" / "python"

    @property
    def site_packages(self) -> Path:
        """Where its packages are."""
        return self.folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def current_environment(folder: BoardFolder) -> Environment | None:
    """Returns the environment in use, or None where none is whole."""
    try:
        name = str(json.loads((folder.environments / "current").read_text())["name"])
    except (OSError, ValueError, KeyError):
        return None
    found = Environment(folder.environments / name)
    return found if _NAME.fullmatch(name) and found.python.exists() and found.site_packages.is_dir() else None


def remove_old_environments(folder: BoardFolder) -> None:
    """Removes environments that are not in use: neither the current one, nor a running worker's, nor a release's."""
    current = current_environment(folder)
    if current is None:
        return
    needed = folder.needed()
    for other in sorted(folder.environments.iterdir()):
        if other.is_dir() and other != current.folder and other not in needed and is_free(other):
            shutil.rmtree(other, ignore_errors=True)


def make_environment(
    folder: BoardFolder, name: str, wheels: list[Path], leave_out: list[str], *, system_site_packages: bool
) -> Environment:
    """Unpacks wheels into a new environment and puts it to use; an older one is removed.

    What matches one of the patterns of `leave_out` (fnmatch, over the whole path) is not unpacked. One of that name
    that is there, since an app runs with it, is the same and is put to use.

    Raises:
        SetupError: a wheel is none.
        OSError: there is no room.
    """
    there = Environment(folder.environments / _checked(name))
    if there.python.exists():
        return _use(folder, there)
    with folder.staging("environment") as place:
        made = _bare(place / "made", system_site_packages=system_site_packages)
        for wheel in wheels:
            _unpack(wheel, made.site_packages, leave_out, folder.is_ending)
        return _put_to_use(folder, name, made)


def pip_environment(
    folder: BoardFolder, name: str, requirements: list[str], index: list[str], *, system_site_packages: bool
) -> Environment:
    """The same, with the board's own pip downloading the packages.

    Raises:
        SetupError: pip failed; its last words are in the text.
        OSError: there is no room.
    """
    with folder.staging("environment") as place:
        made = _bare(place / "made", system_site_packages=system_site_packages)
        where = ["--target", str(made.site_packages), "--no-deps", "--only-binary=:all:", "--no-compile"]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *where]
        environment = {**os.environ, "PYTHONPATH": "", "TMPDIR": str(place)}
        _run_pip([*command, *index, *requirements], environment, folder.is_ending)
        return _put_to_use(folder, name, made)


def _run_pip(command: list[str], environment: dict[str, str], is_ending: threading.Event) -> None:
    """Runs it, in the thread of the request: with that, or with the connection, it ends."""
    deadline_s = time.monotonic() + _PIP_TIMEOUT_S
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=become_child,  # noqa: PLW1509  # only system calls, and no thread holds a lock it needs
    ) as child:
        while True:
            try:
                said = child.communicate(timeout=0.5)[1].decode(errors="replace").strip().splitlines()
                break
            except subprocess.TimeoutExpired as error:
                if is_ending.is_set() or time.monotonic() > deadline_s:
                    child.kill()
                    why = "the connection ended" if is_ending.is_set() else f"not done within {_PIP_TIMEOUT_S:g} s"
                    raise SetupError(f"pip on the board was ended: {why}") from error
    if child.returncode:
        raise SetupError(f"pip on the board failed: {' / '.join(said[-3:])}")


def _bare(place: Path, *, system_site_packages: bool) -> Environment:
    """An environment without packages, as `python -m venv --without-pip` makes it (PEP 405)."""
    real = Path(sys.executable).resolve()
    made = Environment(place)
    made.site_packages.mkdir(parents=True)
    made.python.parent.mkdir()
    made.python.symlink_to(real)
    shared = "true" if system_site_packages else "false"
    version = ".".join(str(part) for part in sys.version_info[:3])
    text = f"home = {real.parent}\ninclude-system-site-packages = {shared}\nversion = {version}\n"
    (place / "pyvenv.cfg").write_text(text)
    return made


def _put_to_use(folder: BoardFolder, name: str, made: Environment) -> Environment:
    folder.environments.mkdir(parents=True, exist_ok=True)
    flush_disk(made.folder)
    final = Environment(folder.environments / _checked(name))
    if final.folder.exists():  # an app may be running with it
        final = Environment(folder.environments / secrets.token_hex(8))
    os.rename(made.folder, final.folder)
    return _use(folder, final)


def _use(folder: BoardFolder, environment: Environment) -> Environment:
    note = folder.environments / "current.new"
    note.write_text(json.dumps({"name": environment.folder.name}))
    os.replace(note, folder.environments / "current")
    remove_old_environments(folder)
    return environment


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise SetupError(f"no name for an environment: {name!r}")
    return name


def _unpack(wheel: Path, site_packages: Path, leave_out: list[str], is_ending: threading.Event) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                place = _place(entry.filename)
                if is_ending.is_set():
                    raise SetupError("the connection ended")
                if place is None or entry.is_dir() or any(fnmatch(str(place), pattern) for pattern in leave_out):
                    continue
                target = site_packages / place
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise SetupError(f"{wheel.name} is no wheel ({error})") from error


def _place(name: str) -> PurePosixPath | None:
    """Where a file of a wheel goes below site-packages; None for what is left out."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise SetupError(f"a wheel with the unsafe name {name!r}")
    if parts[0].endswith(".data"):
        return PurePosixPath(*parts[2:]) if parts[1] in {"purelib", "platlib"} else None
    return PurePosixPath(*parts)
