"""`edgert report`: the HTML page of a bundle, with profile records where there are any."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from edgert.bundle import Bundle, replace_atomically
from edgert.codec import JsonValue
from edgert.commands.console import Console
from edgert.errors import DataError
from edgert.profiler.report import build_report

__all__ = ["add_arguments", "execute", "report"]

MAX_RECORD_BYTES = 64 << 20


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
        DataError: a record cannot be read or is not a JSON object.
        OutputError: the page cannot be written.
    """
    loaded = [_load_record(Path(path)) for path in records]
    with Bundle.open(bundle) as opened:
        page = build_report(opened, loaded)
    return replace_atomically(Path(output), page.encode())


def _load_record(path: Path) -> dict[str, JsonValue]:
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise DataError(f"{path}: larger than {MAX_RECORD_BYTES} bytes; this is not a profile record")
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); give a file that edgert profile --json wrote") from error
    if not isinstance(record, dict):
        raise DataError(f"{path}: holds a {type(record).__name__}, a profile record is a JSON object")
    return record
