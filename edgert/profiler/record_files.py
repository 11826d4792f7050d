"""Where records lie: the folder that `edgert profile` adds to, names of files, and records by file, folder or glob."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgert.codec import JsonValue, parse_json
from edgert.errors import InputFileError, OutputError
from edgert.profiler.board_record import BoardRecord, parse_board_record, write_board_record
from edgert.profiler.record import MAX_RECORD_BYTES, Record, parse_record, write_record

__all__ = [
    "AnyRecord",
    "LoadedRecord",
    "append_record",
    "find_records",
    "load_any_record",
    "records_folder",
    "write_any_record",
]

AnyRecord = Record | BoardRecord

_VARIABLE = "EDGERT_RECORDS"
_MARK = "edgert profile"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_OF_A_DAY = 100_000


@dataclass(frozen=True, slots=True)
class LoadedRecord:
    """A record and its file."""

    path: Path
    record: AnyRecord


def records_folder() -> Path:
    """Returns the folder that records are added to where nobody names one; it need not exist.

    `$EDGERT_RECORDS`; else `profiles/` of the current folder where its README.md speaks of edgert profile; else
    `$XDG_DATA_HOME/edgert/profiles` or `~/.local/share/edgert/profiles`.
    """
    own = os.environ.get(_VARIABLE)
    if own:
        return Path(own)
    here = Path("profiles")
    try:
        if _MARK in (here / "README.md").read_text(encoding="utf-8", errors="replace"):
            return here
    except OSError:
        pass
    base = os.environ.get("XDG_DATA_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path(os.path.expanduser("~")) / ".local" / "share") / "edgert" / "profiles"


def append_record(folder: Path, record: AnyRecord) -> Path:
    """Writes a record as `<target or device>/<model>-<variant>-<date>[-n].json`; no file is ever replaced.

    Raises:
        OutputError: the folder cannot be written.
    """
    place = folder / _safe(record.device.target or record.device.name)
    stem = _safe(f"{record.model.name}-{record.variant}-{record.created[:10]}")
    try:
        place.mkdir(parents=True, exist_ok=True)
        path = _reserve(place, stem)
    except OSError as error:
        raise OutputError(f"{place}: no record can be kept here ({error.strerror or error})") from error
    try:
        return write_any_record(path, record)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_any_record(path: Path, record: AnyRecord) -> Path:
    """Writes a record of either kind.

    Raises:
        OutputError: the file cannot be written.
    """
    return write_record(path, record) if isinstance(record, Record) else write_board_record(path, record)


def load_any_record(path: Path) -> AnyRecord:
    """Returns the record of a file, of a device that runs Python or of a microcontroller.

    Raises:
        InputFileError: the file cannot be read or holds no complete record.
    """
    text = _read(path)
    if _is_of_board(_parse(text)):
        return parse_board_record(text, str(path))
    return parse_record(text, str(path))


def find_records(words: Iterable[Path | str]) -> tuple[tuple[LoadedRecord, ...], tuple[Path, ...]]:
    """Returns the records of files, folders (with all below) and globs, each file once; and what was passed over.

    Other JSON files of a folder or glob are passed over; a damaged record is an error.

    Raises:
        InputFileError: a word leads to no record, or a record is damaged.
    """
    found: dict[Path, LoadedRecord] = {}
    passed: list[Path] = []
    for word in words:
        paths, is_named = _paths(word)
        before = len(found)
        for path in paths:
            if not is_named and not _looks_like_a_record(_parse(_read(path))):
                passed.append(path)
            else:
                found.setdefault(path, LoadedRecord(path, load_any_record(path)))
        if len(found) == before and not any(path in found for path in paths):
            raise InputFileError(f"{word}: no profile record here; edgert profile makes one")
    return tuple(found.values()), tuple(passed)


def _paths(word: Path | str) -> tuple[list[Path], bool]:
    path = Path(word)
    if path.is_dir():
        return sorted(path.rglob("*.json")), False
    if not path.exists() and glob.has_magic(str(word)):
        return sorted(Path(name) for name in glob.glob(str(word), recursive=True) if name.endswith(".json")), False
    return [path], True


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise InputFileError(f"{path}: larger than {MAX_RECORD_BYTES} bytes; not a profile record")
        return path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror or error})") from error


def _parse(text: bytes) -> JsonValue:
    """The document, or None: the parser of records says what is wrong."""
    try:
        return parse_json(text)
    except ValueError:
        return None


def _is_of_board(document: JsonValue) -> bool:
    return isinstance(document, dict) and "ram_bytes" in document and "latency" not in document


def _looks_like_a_record(document: JsonValue) -> bool:
    return (
        isinstance(document, dict)
        and "schema" in document
        and {"latency", "ram_bytes", "variant"} & set(document) != set()
    )


def _safe(name: str) -> str:
    """A name that every file system takes and that leaves its folder on none."""
    return _UNSAFE.sub("-", name).strip("-.")[:100] or "unnamed"


def _reserve(place: Path, stem: str) -> Path:
    """Makes an empty file that nobody had; two runs at once get two names."""
    for number in range(1, _MOST_OF_A_DAY):
        path = place / (f"{stem}.json" if number == 1 else f"{stem}-{number}.json")
        try:
            path.open("xb").close()
        except FileExistsError:
            continue
        return path
    raise OSError(f"{_MOST_OF_A_DAY} records of this model and day are there")
