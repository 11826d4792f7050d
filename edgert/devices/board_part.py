"""The part of edgert that runs on a Linux board, as one zip with the same bytes wherever it is made."""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import edgert

__all__ = ["BoardPart", "board_part", "bootstrap_text"]

_LAPTOP_ONLY = (
    "__main__.py",
    "cli.py",
    "commands/",
    "demo/",
    "deploy/",
    "devices/",
    "cost/",
    "search/",
    "recipe_file.py",
    "profiler/report",
    "onboard/bootstrap.py",
)
"""What a board never runs, below the package; a test runs every worker with the rest alone."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class BoardPart:
    """A zip, its SHA-256 in hex, and the zip as it travels: compressed by zlib as a whole."""

    data: bytes
    sha256: str
    packed: bytes


@functools.cache
def board_part() -> BoardPart:
    """Returns the board part of this edgert; the zip stores, since versions of zlib differ in what they write."""
    package = Path(edgert.__file__).resolve().parent
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(package.rglob("*.py")):
            name = path.relative_to(package).as_posix()
            if not name.startswith(_LAPTOP_ONLY):
                archive.writestr(zipfile.ZipInfo(f"edgert/{name}", _EPOCH), path.read_bytes())
    data = buffer.getvalue()
    return BoardPart(data, hashlib.sha256(data).hexdigest(), zlib.compress(data, 9))


def bootstrap_text() -> str:
    """Returns the Python text that brings the board part to a board and starts it."""
    return (Path(edgert.__file__).resolve().parent / "onboard" / "bootstrap.py").read_text(encoding="utf-8")
