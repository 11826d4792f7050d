"""All that an evaluation depends on beside its choice, as one hash: model, data, recipe, device, engines, versions."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import edgert
from edgert.codec import JsonValue, to_plain
from edgert.devices.names import Device
from edgert.devices.workers import open_worker
from edgert.errors import DataError, ModelError
from edgert.recipe import Recipe
from edgert.recipe_text import recipe_text

__all__ = ["describe_device", "hash_data", "identity_of"]

SCHEMA = 1
_PROFILER = "edgert.profiler.worker"
_LISTS = frozenset({".json", ".yaml", ".yml"})
"""Files of data that name others beside them."""
_TOOLS = ("arm-none-eabi-gcc", "qemu-system-arm")
_TIME_LIMIT_S = 30.0


def identity_of(recipe: Recipe, device: JsonValue, settings: JsonValue) -> str:
    """Returns a SHA-256 (hex).

    Args:
        recipe: what all choices have in common.
        device: from `describe_device`.
        settings: how candidates are measured.

    Raises:
        ModelError: the model cannot be read.
        DataError: the data cannot be read.
    """
    try:
        model = hashlib.sha256(recipe.model.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror or error})", path=recipe.model) from error
    facts = {
        "schema": SCHEMA,
        "edgert": edgert.__version__,
        "model": model,
        "data": [None if spec is None else hash_data(spec) for spec in (recipe.calib, recipe.eval)],
        "recipe": recipe_text(recipe),
        "device": device,
        "settings": settings,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def describe_device(device: Device, target: str) -> JsonValue:
    """Returns what figures of a device depend on: two boards of one kind with the same software are equal.

    Raises:
        DeviceError: it cannot be reached.
    """
    if device.is_board:
        return {"target": target, "tools": {name: _version(name) for name in _TOOLS}}
    with open_worker(device.name, _PROFILER) as worker:
        facts, engines = worker.call("environment").body["device"], worker.call("engines").body
    keys = ("board", "soc", "core", "architecture", "cores", "ram_bytes", "system")
    return {"target": target, **{key: facts.get(key) for key in keys}, **to_plain(engines)}


def hash_data(spec: str) -> str:
    """Returns a hash of the data that a specification names; of ``module:function`` only the words.

    A list of annotations counts with the names and sizes of the files beside it.

    Raises:
        DataError: it cannot be read.
    """
    path = Path(spec.partition("#")[0])
    digest = hashlib.sha256(spec.partition("#")[2].encode())
    try:
        if path.is_file():
            digest.update(path.read_bytes())
        beside = path.parent if path.suffix.lower() in _LISTS else path
        for file in sorted(beside.rglob("*")) if beside.is_dir() else ():
            digest.update(f"{file.relative_to(beside).as_posix()}\0{file.stat().st_size}\0".encode())
            if beside is path and file.is_file():
                digest.update(file.read_bytes())
    except OSError as error:
        raise DataError(f"{spec}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest() if path.exists() else spec


def _version(program: str) -> str | None:
    """The first line of `--version`; None where it is not installed: building says so."""
    if shutil.which(program) is None:
        return None
    found = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S)
    return next(iter(found.stdout.splitlines()), None)
