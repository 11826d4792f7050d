"""A model file without a bundle: a one-variant manifest made from what the engine says about it."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import edgert
from edgert.bundle import SCHEMA, Manifest, Source, Variant
from edgert.errors import BundleError, ModelError
from edgert.plugins import EngineOptions, Executor
from edgert.runtime.engines.accelerators import choose_accelerated

__all__ = ["is_bundle", "load_plain", "plain_variant", "read_plain"]

_FORMATS = {".onnx": "onnx", ".tflite": "tflite"}


def is_bundle(path: Path) -> bool:
    """True when the file should be opened as a bundle: by its name, else by its first bytes."""
    return path.suffix == ".edge" or (path.suffix not in _FORMATS and path.is_file() and zipfile.is_zipfile(path))


def load_plain(
    path: Path,
    data: bytes,
    variant_id: str | None,
    engine: str | None,
    options: EngineOptions,
    accelerator: str | None = None,
) -> tuple[Manifest, Variant, Executor]:
    """Loads a model file, whose contents are `data`, and returns a manifest view of it.

    Raises:
        ModelError: the file is of a kind that no engine runs, or damaged.
        FallbackError: only the CPU would run what was meant for the accelerator.
        BundleError: a variant was asked for, which a plain file does not have.
    """
    blank = plain_variant(path)
    if variant_id not in {None, blank.id}:
        raise BundleError(f"{path}: a plain model file has no variants; leave {variant_id!r} away")
    chosen, settings = choose_accelerated(blank, engine, options.options, accelerator)
    if blank.format == "onnx":
        settings = {"external_data_folder": str(path.resolve().parent), **settings}
    executor = chosen.load(data, blank, dataclasses.replace(options, options=settings))
    variant = dataclasses.replace(blank, inputs=executor.inputs, outputs=executor.outputs)
    source = Source(path.name, blank.format, hashlib.sha256(data).hexdigest())
    ports = executor.inputs, executor.outputs
    manifest = Manifest(SCHEMA, path.stem, edgert.__version__, source, *ports, (variant,), variant.id)
    return manifest, variant, executor


def plain_variant(path: Path) -> Variant:
    """Returns the one variant of a model file, still without inputs and outputs.

    Raises:
        ModelError: the file is of a kind that no engine runs.
    """
    model_format = _FORMATS.get(path.suffix)
    if model_format is None:
        raise ModelError(f"is neither a .edge bundle nor a model file ({', '.join(_FORMATS)})", path=path)
    return Variant(model_format, model_format, "as-is", path.name, (), (), (), 0)


def read_plain(path: Path) -> bytes:
    """Returns the contents of a model file.

    Raises:
        ModelError: it cannot be read.
    """
    if path.is_dir():
        raise ModelError("is a folder, not a model file", path=path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror or error})", path=path) from error
