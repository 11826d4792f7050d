"""Writes what a conversion made: one bundle, one ordinary ONNX or TFLite file, or a folder of ordinary files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from edgert.bundle import Manifest, Variant, replace_atomically, write_bundle
from edgert.codec import JsonValue
from edgert.errors import OutputError, UsageError
from edgert.folder import write_folder_atomically

__all__ = ["GRAPH", "REPORT", "check_output", "output_kind", "to_json_bytes", "write_output"]

REPORT = "report.json"
GRAPH = "graph.onnx"
"""Beside the C of a variant in a bundle: the graph whose integers the C gives, for `edgert verify`."""


def output_kind(path: Path) -> str:
    """Returns `bundle` (.edge), `file` (.onnx, .tflite) or `folder` (ends with a slash, no suffix, or is one).

    Raises:
        UsageError: the suffix is one that edgert does not write.
    """
    if path.is_dir() or not path.suffix:
        return "folder"
    kinds = {".edge": "bundle", ".onnx": "file", ".tflite": "file"}
    if path.suffix.lower() not in kinds:
        raise UsageError(f"--output {path}: edgert writes .edge, .onnx, .tflite or a folder, not {path.suffix!r}")
    return kinds[path.suffix.lower()]


def check_output(path: Path) -> None:
    """Refuses, before any work is done, an output that could not be written in the end.

    Raises:
        UsageError: the suffix is unknown, or the folder is not empty.
        OutputError: the place cannot be written to.
    """
    try:
        kind = output_kind(path)
        is_filled = kind == "folder" and path.is_dir() and any(path.iterdir())
        parent = path.absolute().parent
        existing = next(p for p in (parent, *parent.parents) if p.exists())
    except OSError as error:  # too long a name, or a folder that may not even be looked into
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    if is_filled:
        raise UsageError(f"--output {path}: the folder is not empty; name a new one")
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise OutputError(f"cannot write {path}: {existing} is not a folder that can be written to")


def write_output(path: Path, manifest: Manifest, files: Mapping[str, bytes], chosen: str) -> tuple[Path, ...]:
    """Writes everything or nothing.

    Args:
        path: .edge, .onnx, .tflite or a folder.
        manifest: of the bundle.
        files: contents by name inside the bundle.
        chosen: id of the variant that a single file gets.

    Raises:
        OutputError: it cannot be written; nothing half-written is left.
    """
    kind = output_kind(path)
    if kind == "bundle":
        return (write_bundle(path, manifest, files),)
    if kind == "file":
        return _write_file(path, files[manifest.variant(chosen).path], files[REPORT])
    written = {REPORT: files[REPORT]}
    for variant in manifest.variants:
        written |= _plain_files(variant, files)
    write_folder_atomically(path, written.items())  # an existing folder is empty: check_output saw to that
    return tuple(path / name for name in sorted(written))


def _plain_files(variant: Variant, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files called by the variant's id (what is compiled from it is called by the target too), for C a folder."""
    inside = variant.path.rpartition("/")[0] + "/"
    names = {name: name.removeprefix(inside) for name in files if name.startswith(inside)}
    if variant.format != "c":
        beside = {f"{variant.id}.{short}": files[name] for name, short in names.items() if name != variant.path}
        return {f"{variant.id}.{variant.format}": files[variant.path], **beside}
    return {f"{variant.id}/{short}": files[name] for name, short in names.items() if short != GRAPH}


def _write_file(path: Path, model: bytes, report: bytes) -> tuple[Path, ...]:
    """Writes the model and its report beside it: both or none."""
    target = path.with_suffix(".report.json")
    staged = replace_atomically(target.with_name(f".{target.name}.part"), report)
    try:
        replace_atomically(path, model)
        os.replace(staged, target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        staged.unlink(missing_ok=True)
    return path, target


def to_json_bytes(value: JsonValue) -> bytes:
    """Returns a JSON document with stable bytes."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
