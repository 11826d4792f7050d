"""`edgert report`: the HTML page of a bundle, with profile records where there are any."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edgert.bundle import Bundle, replace_atomically
from edgert.codec import to_plain
from edgert.commands.console import Console
from edgert.profiler.record import load_record
from edgert.profiler.report import build_report

__all__ = ["add_arguments", "execute", "report"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert report`."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .edge file")
    parser.add_argument(
        "--record",
        action="append",
        default=[],
        type=Path,
        metavar="R.json",
        dest="records",
        help="a profile record of one of its variants; may be given several times",
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="page (default: report.html)"
    )


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    path = report(arguments.bundle, arguments.records, arguments.output)
    plain = {"report": str(path), "bytes": path.stat().st_size, "records": len(arguments.records)}
    console.result(plain, str(path))
    return 0


def report(bundle: Path | str, records: Sequence[Path | str] = (), output: Path | str = "report.html") -> Path:
    """Writes the report of a bundle and returns its path.

    Args:
        bundle: a .edge file.
        records: files with profile records.
        output: the HTML page; replaced only once it is complete.

    Raises:
        BundleError: the bundle is damaged.
        InputFileError: a record cannot be read or is not complete.
        OutputError: the page cannot be written.
    """
    loaded = [to_plain(load_record(path)) for path in records]
    with Bundle.open(bundle) as opened:
        page = build_report(opened, loaded)
    return replace_atomically(Path(output), page.encode())
