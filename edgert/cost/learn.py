"""Learns the cost model of a device, from random networks that are measured now or were before."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgert.cost.adapt import choose_forms
from edgert.cost.detect import ENGINE
from edgert.cost.device_cost import DeviceCost, Platform, Sample, fit_device, write_cost
from edgert.cost.files import cost_path, find_cost, lessons_folder
from edgert.cost.latency import FEWEST_NETWORKS
from edgert.cost.records import platform_of, sample_of, variants_by_sha256
from edgert.cost.teach import VARIANTS, Lesson, measure_networks
from edgert.cost.whole_cost import WholeCost, fit_whole, write_whole_cost
from edgert.errors import UsageError
from edgert.plugins import ProgressReporter
from edgert.profiler.on_device import time_now
from edgert.profiler.record import Record, Verdict

__all__ = ["Learned", "learn"]

_NETWORKS = 80
_BUSY = {"competing-load", "throttled", "throttle-occurred"}


@dataclass(frozen=True, slots=True)
class Learned:
    """A cost model, its file, and what its user must know: records left out, a busy device."""

    cost: DeviceCost | WholeCost
    path: Path
    notes: tuple[str, ...]


def learn(
    device: str | None,
    *,
    threads: int | None = None,
    engine: str = ENGINE,
    networks: int | None = None,
    minutes: float = 15.0,
    rounds: int = 8,
    like: str | None = None,
    progress: ProgressReporter = lambda stage, done, total: None,
) -> Learned:
    """Measures random networks on a device and writes what they teach; goes on where an earlier run ended.

    Args:
        device: name or URL; None: this computer.
        threads: of the engine; None: its default.
        engine: onnxruntime, whose kernels are learned, or litert, which tells nothing of its own.
        networks: how many; None: 80 in two forms each, with `like` 10 forms.
        minutes: no network is measured after so many of measuring; to make the networks comes on top, once.
        rounds: how often a network is measured at most, until its three fastest records agree.
        like: device that was learned before with as many threads: the new one is learned as a difference from it.
        progress: told networks done.

    Raises:
        UsageError: too few networks were measured, or a number makes no sense.
        OutputError: a folder or file cannot be written.
        DeviceError: the device cannot be reached.
    """
    count = networks if networks is not None else FEWEST_NETWORKS if like else _NETWORKS
    _check(count, minutes, rounds, engine, like)
    folder = lessons_folder(device, threads, engine)
    earlier = find_cost(like, threads) if like else None
    every = itertools.product(range(count), VARIANTS[engine])
    forms = choose_forms(earlier, count, progress) if earlier else list(every)
    lessons = measure_networks(
        folder,
        device=device,
        threads=threads,
        engine=engine,
        forms=forms,
        minutes=minutes,
        rounds=rounds,
        progress=progress,
    )
    records = {path: record for lesson in lessons for path, record in lesson.records.items()}
    platform, kept = _of_one_platform(records)
    taught = [lesson for lesson in lessons if lesson.records.keys() & kept.keys()]
    if platform is None or len(taught) < FEWEST_NETWORKS:
        raise UsageError(
            f"{len(taught)} of {len(lessons)} networks can be learned from, {FEWEST_NETWORKS} are needed: give more "
            f"--minutes, or see why in {folder}"
        )
    path = cost_path(device, threads, engine)
    progress("learning", 0, 1)
    if engine == ENGINE:
        cost = _of_kernels(taught, kept, platform, earlier, progress)
        return Learned(cost, write_cost(path, cost), _notes(records, kept))
    whole = _of_networks(taught, kept, platform)
    return Learned(whole, write_whole_cost(path, whole), _notes(records, kept))


def _check(networks: int, minutes: float, rounds: int, engine: str, like: str | None) -> None:
    if networks < FEWEST_NETWORKS or minutes <= 0 or rounds < 1:
        raise UsageError(
            f"{networks} networks in {minutes:g} minutes, {rounds} rounds: at least {FEWEST_NETWORKS} networks, more "
            "than 0 minutes and 1 round are needed"
        )
    if engine not in VARIANTS or (like and engine != ENGINE):
        more = f"; --like is for {ENGINE}, the one whose kernels are known" if like else ""
        raise UsageError(f"--engine {engine}: costs are learned of {' and '.join(VARIANTS)}{more}")


def _of_kernels(
    lessons: Sequence[Lesson],
    kept: Mapping[Path, Record],
    platform: Platform,
    earlier: DeviceCost | None,
    progress: ProgressReporter,
) -> DeviceCost:
    return fit_device(
        [sample for lesson in lessons if (sample := _sample(lesson, kept)) is not None],
        platform,
        created=time_now(),
        records=_hashes(kept),
        earlier=earlier,
        progress=lambda done, total: progress("learning", done, total),
    )


def _of_networks(lessons: Sequence[Lesson], kept: Mapping[Path, Record], platform: Platform) -> WholeCost:
    variants = variants_by_sha256(sorted({lesson.bundle for lesson in lessons}))
    return fit_whole(list(kept.values()), variants, platform, created=time_now(), records_sha256=_hashes(kept))


def _hashes(paths: Iterable[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def _of_one_platform(records: Mapping[Path, Record]) -> tuple[Platform | None, dict[Path, Record]]:
    """The platform of the newest record, and the records of it that are not `invalid`."""
    newest = max(records.values(), key=lambda record: record.created, default=None)
    if newest is None:
        return None, {}
    platform = platform_of(newest)
    is_kept = {
        path: record.verdict is not Verdict.INVALID and platform_of(record) == platform
        for path, record in records.items()
    }
    return platform, {path: record for path, record in records.items() if is_kept[path]}


def _sample(lesson: Lesson, kept: Mapping[Path, Record]) -> Sample | None:
    """What one form of a network teaches by its records that are kept."""
    variants = variants_by_sha256([lesson.bundle])
    records = [record for path, record in lesson.records.items() if path in kept]
    own = [record for record in records if record.model.variant_sha256 in variants]
    return sample_of(own, variants[own[0].model.variant_sha256]) if own else None


def _notes(records: Mapping[Path, Record], kept: Mapping[Path, Record]) -> tuple[str, ...]:
    notes = []
    if len(kept) < len(records):
        notes.append(f"{len(records) - len(kept)} of {len(records)} records left out: invalid, or of another engine")
    busy = sum(any(reason.code in _BUSY for reason in record.reasons) for record in kept.values())
    if busy * 5 > len(kept):
        notes.append(f"{busy} of {len(kept)} records are of a busy or throttled device: so is what was learned")
    return tuple(notes)
