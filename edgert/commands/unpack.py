"""`edgert unpack`: a bundle as ordinary files that need no edgert."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

from edgert.bundle import Bundle
from edgert.commands.console import Console
from edgert.errors import OutputError
from edgert.folder import write_folder_atomically
from edgert.units import format_bytes

__all__ = ["add_arguments", "execute", "unpack"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert unpack`."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .edge file")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="a new or empty folder")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    files = unpack(arguments.bundle, arguments.output)
    plain = {"folder": str(arguments.output), "files": [str(path) for path in files]}
    sizes = [f"{path}  {format_bytes(path.stat().st_size)}" for path in files]
    console.result(plain, "\n".join(sizes))
    return 0


def unpack(bundle: Path | str, output: Path | str) -> tuple[Path, ...]:
    """Writes every file of a bundle, checked against its hash, and returns their paths.

    The folder appears only once all files are in it.

    Raises:
        BundleError: the bundle is damaged; nothing is written.
        OutputError: the folder exists and is not empty, or cannot be written.
    """
    target = Path(output)
    try:
        is_taken = target.exists() and (not target.is_dir() or any(target.iterdir()))
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}; nothing was left behind") from error
    if is_taken:
        raise OutputError(f"{target} exists and is not an empty folder; choose another with -o")
    with Bundle.open(bundle) as opened:
        names = sorted(opened.manifest.files)
        contents = ((name, opened.read(name)) for name in names)
        write_folder_atomically(target, itertools.chain(contents, [("manifest.json", opened.manifest_bytes)]))
    return tuple(target / name for name in ["manifest.json", *names])
