"""Teaches a cost model: random networks are converted, profiled on the device as any network is, and learned from.

A computer that others share is up to twice as slow for seconds at a time, and never faster than it is: so networks are
measured in rounds, many in turns, each until its three fastest records agree. In the first round two dozen have a
process of their own, which shows their memory and energy. What was measured stays in the folder, so that a run that
was ended goes on where it was; the networks themselves stay in one for all devices.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgert.cost.detect import ENGINE
from edgert.cost.files import make_folder, networks_folder
from edgert.cost.random_networks import random_network
from edgert.cost.records import fastest_ms
from edgert.plugins import ProgressReporter, load_converter
from edgert.profiler.on_device import profile_in_turns_on_device, profile_on_device, target_name, time_now
from edgert.profiler.record import Record, load_record, write_record
from edgert.profiler.request import ProfileRequest
from edgert.recipe import Algorithm, RangeMethod, Recipe

__all__ = ["VARIANTS", "Form", "Lesson", "draft", "measure_networks"]

VARIANTS = {ENGINE: ("onnx-fp32", "onnx-int8"), "litert": ("tflite-fp32", "tflite-int8")}
"""The forms of each network in which an engine is measured."""
Form = tuple[int, str]
"""Seed of a random network, and one of VARIANTS of an engine."""
_DURATION_S = 0.2
_CALIBRATION_SAMPLES = 2
_AGREE, _ALIKE = 1.05, 3
_ALONE, _TOGETHER = 24, 16


@dataclass(frozen=True, slots=True)
class Lesson:
    """One form of a random network: its bundle, and its records by file, one of each round."""

    bundle: Path
    variant: str
    records: dict[Path, Record] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether the three fastest records agree within 5 %: two may, both of slow moments."""
        fastest = sorted(fastest_ms(record) for record in self.records.values())[:_ALIKE]
        return len(fastest) == _ALIKE and fastest[-1] <= _AGREE * fastest[0]


def measure_networks(
    folder: Path,
    *,
    device: str | None,
    threads: int | None,
    engine: str,
    forms: Sequence[Form],
    minutes: float,
    rounds: int,
    progress: ProgressReporter = lambda stage, done, total: None,
) -> list[Lesson]:
    """Measures forms of random networks in rounds; what an earlier run measured is taken as it is.

    Args:
        folder: where records are kept.
        device: name or URL; None: this computer.
        threads: of the engine; None: its default.
        engine: one of VARIANTS.
        forms: what is measured.
        minutes: nothing new is measured after so many, counted from when the networks are there.
        rounds: how often a form is measured at most.
        progress: told the forms done of each round.

    Raises:
        OutputError: the folder cannot be written.
        DeviceError: the device cannot be reached.
        EngineError: the engine is missing there.
        MissingExtraError: a package for making the networks is not installed.
    """
    make_folder(folder)
    lessons = {}
    for place, form in enumerate(forms):
        progress("making networks", place, len(forms))
        lessons[form] = Lesson(draft(form[0], engine), form[1])
    deadline = time.monotonic() + 60 * minutes
    for turn in range(rounds):
        missing: dict[Path, Lesson] = {}
        alone: dict[Path, Lesson] = {}
        for place, (form, lesson) in enumerate(lessons.items()):
            path = folder / f"random-{form[0]}-{form[1]}-{turn}.json"
            if lesson.is_settled:
                continue
            if path.exists():
                lesson.records[path] = load_record(path)
            else:
                (alone if turn == 0 and place < _ALONE else missing)[path] = lesson
        done = len(forms) - len(missing) - len(alone)
        for batch in (*_batches(list(alone.items()), 1), *_batches(list(missing.items()), _TOGETHER)):
            progress(f"measuring networks, round {turn + 1}", done, len(forms))
            if time.monotonic() > deadline:
                break
            _measure(batch, device, threads, engine, alone=batch[0][0] in alone)
            done += len(batch)
    return [lesson for lesson in lessons.values() if lesson.records]


def draft(seed: int, engine: str = ENGINE) -> Path:
    """Returns the bundle of a random network and its int8 form; ranges come from noise, for no time depends on them."""
    kind = VARIANTS[engine][0].split("-")[0]
    path = networks_folder() / f"random-{seed}-{kind}.edge"
    if path.exists():
        return path
    make_folder(path.parent)
    data, shape = random_network(seed)
    samples = np.random.default_rng(seed).standard_normal((_CALIBRATION_SAMPLES, *shape[1:]), np.float32)
    with tempfile.TemporaryDirectory(prefix="edgert-networks-") as temporary:
        model, noise = Path(temporary) / f"random-{seed}.onnx", Path(temporary) / "noise.npz"
        model.write_bytes(data)
        np.savez(noise, input=samples)
        recipe = Recipe(
            model,
            output=path,
            calib=str(noise),
            formats=(kind,),
            ranges=RangeMethod.MIN_MAX,
            algorithms=(Algorithm.NONE,),
        )
        load_converter().convert(recipe, lambda stage, done, total: None)
    return path


def _batches(missing: list[tuple[Path, Lesson]], size: int) -> list[list[tuple[Path, Lesson]]]:
    """Parts of so many; each takes networks from all over, so that none holds the large ones only."""
    count = -(-len(missing) // size)
    return [missing[start::count] for start in range(count)]


def _measure(
    batch: Sequence[tuple[Path, Lesson]], device: str | None, threads: int | None, engine: str, *, alone: bool
) -> None:
    """Measures some lessons, alone or in turns, and writes a record of each."""
    requests = [
        ProfileRequest(
            path="",
            created=time_now(),
            variant=lesson.variant,
            threads=threads,
            engine=engine,
            duration_s=_DURATION_S,
            tuned=False,
            target=target_name(device),
        )
        for _, lesson in batch
    ]
    bundles = [lesson.bundle for _, lesson in batch]
    if alone:
        pairs = zip(bundles, requests, strict=True)
        records = [profile_on_device(device, bundle, {}, request)[0] for bundle, request in pairs]
    else:
        records = profile_in_turns_on_device(device, bundles, requests)
    for (path, lesson), record in zip(batch, records, strict=True):
        write_record(path, record)
        lesson.records[path] = record
