"""Writes a folder of files whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from edgert.errors import OutputError

__all__ = ["write_folder_atomically"]


def write_folder_atomically(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Writes files (relative name, contents) to a temporary folder beside `path`, then renames it to `path`.

    `path` may be an empty folder. `files` is read one by one, so that only one file is in memory.

    Raises:
        OutputError: it cannot be written; the temporary folder is removed.
    """
    temporary: Path | None = None
    parent = path.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=parent))
        for name, data in files:
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        temporary.chmod(0o755)
        if path.is_dir():
            path.rmdir()
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; nothing was left behind") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
