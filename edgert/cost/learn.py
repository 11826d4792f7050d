"""Learns the cost model of a device, from random networks that are measured now or were before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from edgert.cost.device_cost import DeviceCost, Platform, Sample, fit_device, write_cost
from edgert.cost.files import cost_path, lessons_folder
from edgert.cost.latency import FEWEST_NETWORKS
from edgert.cost.records import platform_of, sample_of, variants_by_sha256
from edgert.cost.teach import Lesson, measure_networks
from edgert.errors import UsageError
from edgert.plugins import ProgressReporter
from edgert.profiler.on_device import time_now
from edgert.profiler.record import Record

__all__ = ["Learned", "learn"]

_BUSY = {"competing-load", "throttled", "throttle-occurred"}


@dataclass(frozen=True, slots=True)
class Learned:
    """A cost model, its file, and what its user must know: records left out, a busy device."""

    cost: DeviceCost
    path: Path
    notes: tuple[str, ...]


def learn(
    device: str | None,
    *,
    threads: int | None = None,
    networks: int = 80,
    minutes: float = 15.0,
    progress: ProgressReporter = lambda stage, done, total: None,
) -> Learned:
    """Measures random networks on a device and writes what they teach; goes on where an earlier run ended.

    Args:
        device: name or URL; None: this computer.
        threads: of the engine; None: its default.
        networks: how many, in two forms each.
        minutes: no network is begun after these.
        progress: told networks done.

    Raises:
        UsageError: too few networks were measured, or a number makes no sense.
        OutputError: a folder or file cannot be written.
        DeviceError: the device cannot be reached.
    """
    if networks < FEWEST_NETWORKS or minutes <= 0:
        raise UsageError(
            f"{networks} networks in {minutes:g} minutes: at least {FEWEST_NETWORKS} in more than 0 needed"
        )
    lessons = list(
        measure_networks(
            lessons_folder(device, threads),
            device=device,
            threads=threads,
            networks=networks,
            minutes=minutes,
            progress=progress,
        )
    )
    records = {path: record for lesson in lessons for path, record in lesson.records.items()}
    newest = max(records.values(), key=lambda record: record.created, default=None)
    platform = platform_of(newest) if newest else None
    samples = _samples(lessons, platform)
    if platform is None or len(samples) < FEWEST_NETWORKS:
        raise UsageError(
            f"{len(samples)} of {len(records)} records can be learned from, {FEWEST_NETWORKS} are needed: give more "
            f"--minutes, or see why in {lessons_folder(device, threads)}"
        )
    cost = fit_device(
        list(samples.values()),
        platform,
        created=time_now(),
        records=[hashlib.sha256(path.read_bytes()).hexdigest() for path in samples],
        progress=lambda done, total: progress("learning", done, total),
    )
    return Learned(cost, write_cost(cost_path(device, threads), cost), _notes(records, samples))


def _samples(lessons: list[Lesson], platform: Platform | None) -> dict[Path, Sample]:
    """What can be learned from, by file: records of one platform."""
    samples = {}
    for lesson in lessons:
        variants = variants_by_sha256([lesson.bundle])
        for path, record in lesson.records.items():
            variant = variants.get(record.model.variant_sha256)
            sample = sample_of(record, variant) if variant and platform_of(record) == platform else None
            if sample is not None:
                samples[path] = sample
    return samples


def _notes(records: dict[Path, Record], samples: dict[Path, Sample]) -> tuple[str, ...]:
    notes = []
    if len(samples) < len(records):
        notes.append(f"{len(records) - len(samples)} of {len(records)} records left out: invalid, or of another engine")
    busy = sum(any(reason.code in _BUSY for reason in records[path].reasons) for path in samples)
    if busy * 5 > len(samples):
        notes.append(f"{busy} of {len(samples)} records are of a busy or throttled device: so is what was learned")
    return tuple(notes)
