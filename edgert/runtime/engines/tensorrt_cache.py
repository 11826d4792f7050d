"""Engines that TensorRT built on this device, one file for each model and setting.

A file is one line of JSON, which says what the engine was built of and with, and the serialized engine. Where anything
in that line differs from what is there now (another TensorRT after an update of JetPack, another GPU or driver), or the
bytes do not have the hash it names, the engine is built anew and replaces the file; so nothing old is left behind.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from edgert.bundle import replace_atomically
from edgert.codec import CodecError, JsonValue, from_plain, parse_json, to_plain

__all__ = ["Identity", "cache_folder", "engine_file", "load_engine", "store_engine"]

SCHEMA = 1
_MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Identity:
    """All that an engine depends on; one that was built for another identity is never used."""

    model_sha256: str
    tensorrt: str
    gpu: str
    compute_capability: str
    cuda_driver: int
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Header:
    schema: int
    identity: Identity
    engine_sha256: str
    notes: dict[str, JsonValue] = field(default_factory=dict)


def cache_folder() -> Path:
    """Returns the folder of the built engines; it need not exist."""
    own = os.environ.get("EDGERT_CACHE")
    if own:
        return Path(own) / "tensorrt"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path(os.path.expanduser("~")) / ".cache") / "edgert" / "tensorrt"


def engine_file(identity: Identity, folder: Path) -> Path:
    """Returns where the engine of this model with these settings lies, whatever built it."""
    settings = json.dumps(identity.settings, sort_keys=True).encode()
    return folder / f"{identity.model_sha256[:32]}-{hashlib.sha256(settings).hexdigest()[:8]}.engine"


def load_engine(identity: Identity, folder: Path) -> tuple[bytes, dict[str, JsonValue]] | str:
    """Returns a stored engine and the notes of its build, or why it must be built."""
    try:
        with engine_file(identity, folder).open("rb") as stream:
            header = _parse(stream.readline(_MAX_HEADER_BYTES))
            engine = stream.read()
    except FileNotFoundError:
        return "none is stored"
    except (OSError, CodecError, ValueError) as error:
        return f"the stored one cannot be read ({error})"
    if header.identity != identity:
        old, new = to_plain(header.identity), to_plain(identity)
        changed = [f"{key} was {old[key]}, is {new[key]}" for key in new if old[key] != new[key]]
        return f"the stored one was built elsewhere: {', '.join(changed)}"
    if hashlib.sha256(engine).hexdigest() != header.engine_sha256:
        return "the stored one is damaged"
    return engine, header.notes


def store_engine(identity: Identity, engine: bytes, notes: dict[str, JsonValue], folder: Path) -> Path:
    """Writes an engine whole or not at all, and returns its file.

    Raises:
        OutputError: the folder cannot be written.
    """
    header = _Header(SCHEMA, identity, hashlib.sha256(engine).hexdigest(), notes)
    line = json.dumps(to_plain(header), sort_keys=True).encode()
    return replace_atomically(engine_file(identity, folder), line + b"\n" + engine)


def _parse(line: bytes) -> _Header:
    plain = parse_json(line)
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"schema {schema!r}, this edgert reads {SCHEMA}")
    return from_plain(_Header, plain)
