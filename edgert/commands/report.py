"""`edgert report`: the HTML page of a bundle, with profile records where there are any; and records as a table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edgert.bundle import Bundle, replace_atomically
from edgert.codec import to_plain
from edgert.commands.console import Console
from edgert.errors import UsageError
from edgert.profiler.record import Record, load_record
from edgert.profiler.record_files import LoadedRecord, find_records
from edgert.profiler.record_table import export_records
from edgert.profiler.report import build_report

__all__ = ["add_arguments", "execute", "report"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert report`."""
    parser.add_argument("bundle", nargs="?", type=Path, metavar="BUNDLE", help="a .edge file (not needed for --export)")
    parser.add_argument(
        "--record",
        action="append",
        default=[],
        metavar="R.json|FOLDER|GLOB",
        dest="records",
        help="a profile record, or a folder or glob of records; may be given several times",
    )
    parser.add_argument(
        "--export", type=Path, metavar="FILE.csv|FILE.parquet", help="write the records as a table, one row each"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="page (default: report.html)"
    )


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    if arguments.bundle is None and arguments.export is None:
        raise UsageError("give a bundle to report on, or --export FILE.csv to write records as a table")
    if arguments.export is not None and not arguments.records:
        raise UsageError("--export needs records: --record FILE, FOLDER or GLOB")
    plain: dict[str, str | int] = {"records": len(arguments.records)}
    written = []
    if arguments.export is not None:
        found, passed = find_records(arguments.records)
        for path in passed:
            console.note(f"edgert: {path}: passed over, no profile record")
        written.append(str(export_records(found, arguments.export)))
        plain |= {"export": str(arguments.export), "records": len(found)}
    if arguments.bundle is not None:
        path = report(arguments.bundle, arguments.records, arguments.output)
        written.append(str(path))
        plain |= {"report": str(path), "bytes": path.stat().st_size}
    console.result(plain, "\n".join(written))
    return 0


def report(bundle: Path | str, records: Sequence[Path | str] = (), output: Path | str = "report.html") -> Path:
    """Writes the report of a bundle and returns its path.

    Args:
        bundle: a .edge file.
        records: files with profile records, or folders or globs; in these, records of microcontrollers are left out.
        output: the HTML page; replaced only once it is complete.

    Raises:
        BundleError: the bundle is damaged.
        InputFileError: a record cannot be read or is not complete, or is that of a microcontroller.
        OutputError: the page cannot be written.
    """
    with Bundle.open(bundle) as opened:
        page = build_report(opened, [to_plain(record) for record in _of_time(records)])
    return replace_atomically(Path(output), page.encode())


def _of_time(words: Sequence[Path | str]) -> list[Record]:
    named = [load_record(word) for word in words if Path(word).is_file()]
    found: tuple[LoadedRecord, ...] = find_records(word for word in words if not Path(word).is_file())[0]
    return [*named, *(loaded.record for loaded in found if isinstance(loaded.record, Record))]
