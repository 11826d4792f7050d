"""Small text files of /proc and /sys; everything unreadable is None, for each reader to say so."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path

__all__ = ["find_program", "number_of", "read_fields", "read_text"]

_FOLDERS = ("usr/bin", "usr/sbin", "usr/local/bin", "opt/vc/bin")


def read_text(path: Path) -> str | None:
    """Returns the text of a file without the white space and NUL around it; None where there is none."""
    try:
        return path.read_bytes().decode(errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def number_of(text: str | None) -> float | None:
    """Returns the finite number that a text is, or None."""
    try:
        number = float("nan" if text is None else text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def read_fields(path: Path) -> dict[str, int]:
    """Returns the `Name:   123 kB` lines of a file as numbers, in the file's own units."""
    found = {}
    for line in (read_text(path) or "").splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name.strip()] = int(words[0])
    return found


def find_program(name: str, root: Path = Path("/")) -> str | None:
    """Returns the path of a program: on PATH, else where boards keep it, since some logins have a short PATH."""
    folders = [os.environ.get("PATH", "")] if root == Path("/") else []
    return shutil.which(name, path=os.pathsep.join([*folders, *(str(root / folder) for folder in _FOLDERS)]))
