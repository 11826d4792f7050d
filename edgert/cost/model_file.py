"""Cost models as JSON files: numbers and names only, checked when read, replaced as a whole when written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from edgert.bundle import replace_atomically
from edgert.codec import CodecError, from_plain, parse_json, to_plain
from edgert.errors import InputFileError

__all__ = ["read_model", "write_model"]

T = TypeVar("T")

_MAX_BYTES = 64 << 20


def read_model(cls: type[T], path: Path, schema: int, remedy: str) -> T:
    """Reads a file of `write_model`.

    Args:
        cls: dataclass of the model, with a field `schema`.
        path: the file.
        schema: the number that this edgert reads.
        remedy: what to do about a file that cannot be read.

    Raises:
        InputFileError: it cannot be read, is damaged, or is of another schema.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputFileError(f"{path}: larger than {_MAX_BYTES} bytes; no cost model is")
        plain = parse_json(path.read_bytes())
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputFileError(f"{path}: damaged cost model ({error}); {remedy}") from error
    found = plain.get("schema") if isinstance(plain, dict) else None
    if found != schema:
        raise InputFileError(f"{path}: cost model of schema {found}, this edgert reads {schema}; {remedy}")
    try:
        return from_plain(cls, plain)
    except CodecError as error:
        raise InputFileError(f"{path}: damaged cost model ({error}); {remedy}") from error


def write_model(path: Path, model: object) -> Path:
    """Writes a dataclass as JSON.

    Raises:
        OutputError: the file cannot be written; nothing is left behind.
    """
    return replace_atomically(path, json.dumps(to_plain(model), allow_nan=False).encode() + b"\n")
