"""Teaches a cost model: random networks are converted, profiled on the device as any network is, and learned from.

A computer that others share is up to twice as slow for seconds at a time, and never faster than it is: so networks are
measured in rounds, each until its two fastest records agree. What was measured stays in the folder, so that a run that
was ended goes on where it was.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgert.bundle import replace_atomically
from edgert.cost.detect import ENGINE
from edgert.cost.random_networks import random_network
from edgert.cost.records import fastest_ms
from edgert.errors import OutputError
from edgert.plugins import ProgressReporter, load_converter
from edgert.profiler.on_device import profile_on_device, target_name, time_now
from edgert.profiler.record import Record, load_record, write_record
from edgert.profiler.worker import ProfileRequest
from edgert.recipe import Algorithm, RangeMethod, Recipe

__all__ = ["VARIANTS", "Form", "Lesson", "draft", "measure_networks"]

VARIANTS = ("onnx-fp32", "onnx-int8")
Form = tuple[int, str]
"""Seed of a random network, and one of VARIANTS."""
_DURATION_S = 0.4
_CALIBRATION_SAMPLES = 2
_AGREE = 1.05


@dataclass(frozen=True, slots=True)
class Lesson:
    """One form of a random network: its bundle, and its records by file, one of each round."""

    bundle: Path
    variant: str
    records: dict[Path, Record] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether the two fastest records agree within 5 %."""
        fastest = sorted(fastest_ms(record) for record in self.records.values())[:2]
        return len(fastest) == 2 and fastest[1] <= _AGREE * fastest[0]


def measure_networks(
    folder: Path,
    *,
    device: str | None,
    threads: int | None,
    forms: Sequence[Form],
    minutes: float,
    rounds: int,
    progress: ProgressReporter = lambda stage, done, total: None,
) -> list[Lesson]:
    """Measures forms of random networks in rounds; what an earlier run measured is taken as it is.

    Args:
        folder: where bundles and records are kept.
        device: name or URL; None: this computer.
        threads: of the engine; None: its default.
        forms: what is measured.
        minutes: nothing new is measured after these.
        rounds: how often a form is measured at most.
        progress: told the forms done of each round.

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
    lessons = {}
    for place, form in enumerate(forms):
        progress("making networks", place, len(forms))
        lessons[form] = Lesson(draft(folder, form[0]), form[1])
    for turn, (place, form) in itertools.product(range(rounds), enumerate(forms)):
        progress(f"measuring networks, round {turn + 1}", place, len(forms))
        path = folder / f"random-{form[0]}-{form[1]}-{turn}.json"
        if lessons[form].is_settled or (not path.exists() and time.monotonic() > deadline):
            continue
        lessons[form].records[path] = _record(path, lessons[form], device, threads)
    return [lesson for lesson in lessons.values() if lesson.records]


def draft(folder: Path, seed: int) -> Path:
    """Returns the bundle of a random network and its int8 form; ranges come from noise, for no time depends on them."""
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


def _record(path: Path, lesson: Lesson, device: str | None, threads: int | None) -> Record:
    if path.exists():
        return load_record(path)
    request = ProfileRequest(
        path="",
        created=time_now(),
        variant=lesson.variant,
        threads=threads,
        engine=ENGINE,
        duration_s=_DURATION_S,
        tuned=False,
        target=target_name(device),
    )
    record, _ = profile_on_device(device, lesson.bundle, {}, request)
    write_record(path, record)
    return record
