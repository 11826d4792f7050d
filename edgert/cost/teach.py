"""Teaches a cost model: random networks are converted, profiled on the device as any network is, and learned from.

What was measured stays in the folder, so that a run that was ended goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgert.bundle import replace_atomically
from edgert.cost.detect import ENGINE
from edgert.cost.random_networks import random_network
from edgert.errors import OutputError
from edgert.plugins import ProgressReporter, load_converter
from edgert.profiler.on_device import profile_on_device, target_name, time_now
from edgert.profiler.record import Record, load_record, write_record
from edgert.profiler.worker import ProfileRequest
from edgert.recipe import Algorithm, RangeMethod, Recipe

__all__ = ["Lesson", "measure_networks"]

VARIANTS = ("onnx-fp32", "onnx-int8")
_DURATION_S = 0.4
_CALIBRATION_SAMPLES = 2


@dataclass(frozen=True, slots=True)
class Lesson:
    """One random network: its bundle, and the file and content of each record."""

    bundle: Path
    records: dict[Path, Record]


def measure_networks(
    folder: Path,
    *,
    device: str | None,
    threads: int | None,
    networks: int,
    minutes: float,
    progress: ProgressReporter = lambda stage, done, total: None,
) -> Iterator[Lesson]:
    """Yields random networks 0, 1, ... as they are measured; those of an earlier run at once.

    Args:
        folder: where bundles and records are kept.
        device: name or URL; None: this computer.
        threads: of the engine; None: its default.
        networks: how many.
        minutes: no network is begun after these; those of an earlier run do not count.
        progress: told networks done.

    Raises:
        OutputError: the folder cannot be written.
        DeviceError: the device cannot be reached.
        EngineError: ONNX Runtime is missing there.
        MissingExtraError: a package for making the networks is not installed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror or error})") from error
    deadline = time.monotonic() + 60 * minutes
    for seed in range(networks):
        progress("measuring networks", seed, networks)
        paths = {variant: folder / f"random-{seed}-{variant}.json" for variant in VARIANTS}
        if not all(path.exists() for path in paths.values()) and time.monotonic() > deadline:
            return
        bundle = _bundle(folder, seed)
        records = {path: _record(path, bundle, variant, device, threads) for variant, path in paths.items()}
        yield Lesson(bundle, records)


def _bundle(folder: Path, seed: int) -> Path:
    """The float network and its int8 form; ranges come from noise, for the time does not depend on them."""
    path = folder / f"random-{seed}.edge"
    if path.exists():
        return path
    model, noise = folder / f"random-{seed}.onnx", folder / f"random-{seed}.npz"
    data, shape = random_network(seed)
    replace_atomically(model, data)
    samples = np.random.default_rng(seed).standard_normal((_CALIBRATION_SAMPLES, *shape[1:]), np.float32)
    np.savez(noise, input=samples)
    recipe = Recipe(
        model,
        output=path,
        calib=str(noise),
        formats=("onnx",),
        ranges=RangeMethod.MIN_MAX,
        algorithms=(Algorithm.NONE,),
    )
    load_converter().convert(recipe, lambda stage, done, total: None)
    noise.unlink()
    model.unlink()
    return path


def _record(path: Path, bundle: Path, variant: str, device: str | None, threads: int | None) -> Record:
    if path.exists():
        return load_record(path)
    request = ProfileRequest(
        path="",
        created=time_now(),
        variant=variant,
        threads=threads,
        engine=ENGINE,
        duration_s=_DURATION_S,
        tuned=False,
        target=target_name(device),
    )
    record, _ = profile_on_device(device, bundle, {}, request)
    write_record(path, record)
    return record
