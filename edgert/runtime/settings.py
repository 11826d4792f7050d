"""What this device has learned: the choice of variant, engine and options that won `edgert run --tune` (docs/run.md).

One file per model, named by the SHA-256 of the model, in `$EDGERT_SETTINGS`, else `$XDG_CONFIG_HOME/edgert/tuned` or
`~/.config/edgert/tuned`. A second small file, named by the model's path, tells when the model there was replaced. Files
are written whole, so two races at once cannot damage one another's, and a damaged file concerns one model only.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

from edgert.bundle import replace_atomically
from edgert.codec import CodecError, from_plain, parse_json, to_plain
from edgert.errors import EdgertError
from edgert.runtime.engines import get_engine

__all__ = [
    "SCHEMA",
    "Advice",
    "Choice",
    "Tuned",
    "cpu_identity",
    "forget",
    "look_up",
    "describe",
    "settings_folder",
    "store",
    "words_of_threads",
]

SCHEMA = 1
UNDO = "edgert run --tune MODEL tunes anew, edgert run --forget MODEL forgets it"
_MAX_BYTES = 1 << 20
_CPU_KEYS = ("model name", "Hardware", "CPU implementer", "CPU part")


@dataclass(frozen=True, slots=True)
class Choice:
    """What runs a model; None (and no options) wherever nobody chose."""

    variant: str | None = None
    engine: str | None = None
    threads: int | None = None
    options: dict[str, str] = field(default_factory=dict)

    def leaves_open(self, tuned: Choice) -> bool:
        """True where a caller named nothing that a tuned choice would change."""
        named = self.variant or self.engine or self.options
        return not named and self.threads in {None, tuned.threads}


@dataclass(frozen=True, slots=True)
class Tuned:
    """The winner of one race, with all that must still hold for it to count. Latencies are of `Session.run`."""

    schema: int
    model_sha256: str
    path: str
    choice: Choice
    engine_version: str
    cpu: str
    p50_ms: float
    p99_ms: float
    created: str
    says: str = ""


@dataclass(frozen=True, slots=True)
class Advice:
    """What the settings say about one model: a choice, or the reason why a stored one does not count."""

    choice: Choice | None
    text: str


def settings_folder() -> Path:
    """Returns the folder of the stored choices; it need not exist."""
    own = os.environ.get("EDGERT_SETTINGS")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CONFIG_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path(os.path.expanduser("~")) / ".config") / "edgert" / "tuned"


def look_up(path: Path, sha256: str) -> Advice | None:
    """Returns what is stored for a model, or None where nothing is.

    Args:
        path: where the model lies.
        sha256: of its manifest (bundle) or of the file.
    """
    try:
        stored = _read(_model_file(sha256))
        if stored is None:
            return _replaced(path, sha256)
    except (CodecError, ValueError, OSError) as error:
        return Advice(None, f"the stored choice is ignored: its file is damaged ({error}); {UNDO}")
    reason = _outdated(stored, sha256)
    if reason is not None:
        return Advice(None, f"the stored choice is ignored: {reason}; {UNDO}")
    return Advice(stored.choice, f"tuned choice of {stored.created[:10]}: {describe(stored.choice)}; {UNDO}")


def describe(choice: Choice) -> str:
    """Returns a choice in a few words."""
    threads = "" if choice.threads is None else f", {words_of_threads(choice)}"
    options = "".join(f", {key}={value}" for key, value in choice.options.items())
    return f"{choice.variant or 'default variant'} on {choice.engine or 'default engine'}{threads}{options}"


def words_of_threads(choice: Choice) -> str:
    """Returns ``1 thread``, ``4 threads`` or ``the engine's own number of threads``."""
    if choice.threads is None:
        return "the engine's own number of threads"
    return f"{choice.threads} thread{'s' if choice.threads != 1 else ''}"


def store(tuned: Tuned) -> Path:
    """Writes one choice and returns its file.

    Raises:
        OutputError: the folder cannot be written.
    """
    pointer = json.dumps({"schema": SCHEMA, "sha256": tuned.model_sha256}).encode()
    written = replace_atomically(_model_file(tuned.model_sha256), json.dumps(to_plain(tuned), indent=1).encode())
    replace_atomically(_path_file(Path(tuned.path)), pointer)
    return written


def forget(path: Path, sha256: str) -> bool:
    """Removes what is stored for a model; returns whether there was anything.

    Raises:
        OSError: the folder cannot be written.
    """
    found = False
    files = [_model_file(sha256), _path_file(path)]
    older = _pointed(path)
    for file in [*files, *([_model_file(older)] if older else [])]:
        if file.exists():
            file.unlink(missing_ok=True)
            found = True
    return found


@functools.cache
def cpu_identity() -> str:
    """Returns one line that changes where the processor, or what of it can be used, changes."""
    from edgert.runtime.cpu import dot_product  # 4 ms that only a stored choice needs

    found: dict[str, str] = {}
    for line in _text("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in _CPU_KEYS:
            found.setdefault(name.strip(), value.strip())
    board = _text("/proc/device-tree/model").strip("\0\n ")
    names = [board, *(found[key] for key in _CPU_KEYS if key in found)]
    name = " ".join(part for part in names if part) or platform.processor()
    return f"{platform.machine()}, {name}, {dot_product().value}, {os.cpu_count()} cores"


def _outdated(stored: Tuned, sha256: str) -> str | None:
    if stored.model_sha256 != sha256:
        return "its file is of another model"
    if stored.cpu != cpu_identity():
        return f"it was measured on another processor ({stored.cpu}; this one is {cpu_identity()})"
    engine = stored.choice.engine
    if engine is None:
        return "it names no engine"
    try:
        version = get_engine(engine).version()
    except EdgertError as error:
        return str(error)
    if version != stored.engine_version:
        now = "not installed now" if version is None else f"now {version}"
        return f"it was measured with {engine} {stored.engine_version}, {now}"
    return None


def _replaced(path: Path, sha256: str) -> Advice | None:
    older = _pointed(path)
    if older is None or older == sha256:
        return None
    return Advice(None, f"the stored choice is ignored: the model has changed since; {UNDO}")


def _pointed(path: Path) -> str | None:
    try:
        plain = parse_json(_bytes(_path_file(path)))
    except (ValueError, OSError):
        return None
    found = plain.get("sha256") if isinstance(plain, dict) else None
    return found if isinstance(found, str) and found.isalnum() else None


def _read(file: Path) -> Tuned | None:
    try:
        data = _bytes(file)
    except (FileNotFoundError, NotADirectoryError):
        return None
    plain = parse_json(data)
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema != SCHEMA:
        raise ValueError(f"schema {schema!r}, this edgert reads {SCHEMA}")
    return from_plain(Tuned, plain)


def _bytes(file: Path) -> bytes:
    with file.open("rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError("it is too large")
    return data


def _model_file(sha256: str) -> Path:
    return settings_folder() / f"{sha256}.json"


def _path_file(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()
    return settings_folder() / f"path-{name}.json"


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
