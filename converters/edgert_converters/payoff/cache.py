"""Measurements of this computer, kept so that the next model of the same kind is answered at once.

One JSON file, `int8_payoff.json`, in `$EDGERT_CACHE`, else the platform's folder for caches. It is no more than a
cache: what is damaged counts as empty, and what another processor or engine version took is never looked up again.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from edgert.bundle import replace_atomically
from edgert.codec import CodecError, from_plain, parse_json, to_plain
from edgert.errors import OutputError
from edgert.runtime.settings import cpu_identity

__all__ = ["SCHEMA", "Cache", "Place", "Timed", "cache_file", "load_cache", "place_key", "save_cache"]

SCHEMA = 1
_MAX_BYTES = 16 << 20
_MOST_NETWORKS = 500
_MOST_LAYERS = 5000
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Timed:
    """Float and int8 form of one network, timed in turns: least time of each, and where their ratio lay."""

    float_ms: float
    int8_ms: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        """Time int8 / float."""
        return self.int8_ms / self.float_ms

    def __post_init__(self) -> None:
        if not (self.float_ms > 0.0 and self.int8_ms > 0.0 and 0.0 < self.low <= self.ratio <= self.high):
            raise ValueError("times are positive and their ratio lies in its interval")


@dataclass(frozen=True, slots=True)
class Place:
    """What was measured in one engine version on one processor with one number of threads, by structure.

    `layers` are milliseconds of single layers; the empty structure is the engine's own time per run.
    """

    networks: dict[str, Timed] = field(default_factory=dict)
    layers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cache:
    """All that was measured, by place (`place_key`); mutable only through the dictionaries of its places."""

    schema: int = SCHEMA
    places: dict[str, Place] = field(default_factory=dict)

    def place(self, key: str) -> Place:
        """Returns the place of that key, a new and empty one where there is none."""
        return self.places.setdefault(key, Place())


def place_key(engine: str, version: str, threads: int) -> str:
    """Returns what must be the same for a time to count: engine, version, processor, threads."""
    return f"{engine} {version}, {threads} threads, {cpu_identity()}"


def cache_file() -> Path:
    """Returns where the measurements lie; neither file nor folder need exist."""
    own = os.environ.get("EDGERT_CACHE")
    return (Path(own) if own else _platform_folder() / "edgert") / "int8_payoff.json"


def _platform_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else None)
    if base:
        return Path(base)
    home = Path(os.path.expanduser("~"))
    return home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"


def load_cache() -> tuple[Cache, str | None]:
    """Returns what is stored, and a word where the file was there but could not be used (then the cache is empty)."""
    file = cache_file()
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return Cache(), None
    except OSError as error:
        return Cache(), f"the measurements in {file} cannot be read ({error.strerror or error})"
    try:
        return _parse(data), None
    except (CodecError, ValueError, RecursionError) as error:
        return Cache(), f"the measurements in {file} are damaged and count as none ({error})"


def _parse(data: bytes) -> Cache:
    if len(data) > _MAX_BYTES:
        raise ValueError("the file is too large")
    plain = parse_json(data)
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"schema {schema!r}, this edgert reads {SCHEMA}")
    cache = from_plain(Cache, plain)
    if any(not 0.0 <= ms < float("inf") for place in cache.places.values() for ms in place.layers.values()):
        raise ValueError("a time is negative or no number")
    return cache


def save_cache(new: Cache) -> str | None:
    """Adds measurements to the stored ones, newest kept; returns a word where they cannot be written.

    Two processes at once may lose one another's newest measurements, never damage the file.
    """
    stored, _ = load_cache()
    for key, place in new.places.items():
        old = stored.place(key)
        stored.places[key] = Place(
            _newest(old.networks, place.networks, _MOST_NETWORKS), _newest(old.layers, place.layers, _MOST_LAYERS)
        )
    try:
        replace_atomically(cache_file(), json.dumps(to_plain(stored)).encode())
    except OutputError as error:
        return f"measurements were not kept: {error}"
    return None


def _newest(old: Mapping[str, _Value], new: Mapping[str, _Value], most: int) -> dict[str, _Value]:
    merged = {key: value for key, value in old.items() if key not in new} | dict(new)
    return dict(list(merged.items())[-most:])
