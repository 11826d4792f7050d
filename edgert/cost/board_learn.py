"""Learns the cost model of an emulated microcontroller, and finds it again: one file for each target."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgert.cost.board_cost import (
    FEWEST_NETWORKS,
    BoardCost,
    BoardPlatform,
    BoardSample,
    fit_board,
    load_board_cost,
    write_board_cost,
)
from edgert.cost.board_lessons import FORMS, BoardLesson, count_networks
from edgert.cost.board_network import read_network
from edgert.cost.files import costs_folder
from edgert.devices.names import Device
from edgert.devices.qemu import emulated_target
from edgert.errors import UsageError
from edgert.plugins import ProgressReporter
from edgert.profiler.board_record import BoardRecord
from edgert.profiler.on_device import time_now
from edgert.target import Target

__all__ = ["BoardLearned", "board_cost_path", "find_board_cost", "learn_board", "target_of"]


@dataclass(frozen=True, slots=True)
class BoardLearned:
    """A cost model, its file, and what its user must know."""

    cost: BoardCost
    path: Path
    notes: tuple[str, ...]


def target_of(device: Device) -> Target:
    """Returns what an emulated microcontroller is.

    Raises:
        UsageError: it is a real one, whose cycles nobody has learned.
        DeviceError: no target is that machine.
    """
    if not device.url.startswith("qemu:"):
        raise UsageError(
            f"{device.name}: costs are learned of emulated microcontrollers, by running networks there one after the "
            "other; name one, such as --device qemu:mps2-an386, or measure the model itself: edgert profile"
        )
    return emulated_target(device.url.partition(":")[2].strip("/"))


def board_cost_path(target: str) -> Path:
    """Returns the file of a target's cost model; what it was learned from lies beside it, in a folder of that name."""
    return costs_folder() / f"{target}.json"


def find_board_cost(target: str, device: str) -> BoardCost:
    """Reads the cost model of a target.

    Raises:
        UsageError: there is none; says how to get it.
        InputFileError: it is damaged.
    """
    path = board_cost_path(target)
    if not path.exists():
        raise UsageError(f"nothing was learned of {target}: edgert predict --learn --device {device} (15 minutes)")
    return load_board_cost(path)


def learn_board(
    device: Device,
    *,
    networks: int = 80,
    minutes: float = 15.0,
    progress: ProgressReporter = lambda stage, done, total: None,
) -> BoardLearned:
    """Counts random networks in an emulator and writes what they teach; goes on where an earlier run ended.

    Args:
        device: an emulated microcontroller.
        networks: how many, in two forms each.
        minutes: no network is begun after these.
        progress: told networks done.

    Raises:
        UsageError: too few networks were counted, a number makes no sense, or it is no emulated microcontroller.
        OutputError: a folder or file cannot be written.
        DeviceError: the emulator does not start.
        MissingToolError: the compiler or the emulator is not installed.
    """
    target = target_of(device)
    if len(FORMS) * networks < FEWEST_NETWORKS or minutes <= 0:
        least = FEWEST_NETWORKS // len(FORMS)
        raise UsageError(f"{networks} networks in {minutes:g} minutes: at least {least} in more than 0 needed")
    path = board_cost_path(target.name)
    folder = path.with_suffix("")
    lessons = count_networks(
        folder, device=device, target=target, networks=networks, minutes=minutes, progress=progress
    )
    platform = _platform(lessons, target)
    kept = [lesson for lesson in lessons if _platform_of(lesson.record, target) == platform]
    if platform is None or len(kept) < FEWEST_NETWORKS:
        raise UsageError(
            f"{len(kept)} of {len(FORMS) * networks} networks can be learned from, {FEWEST_NETWORKS} are needed: give "
            f"more --minutes or --networks, or see why in {folder}"
        )
    cost = fit_board(
        [_sample(lesson, target.name) for lesson in kept],
        platform,
        created=time_now(),
        records=[hashlib.sha256(lesson.path.read_bytes()).hexdigest() for lesson in kept],
        progress=lambda done, total: progress("learning", done, total),
    )
    old = len(lessons) - len(kept)
    notes = (f"{old} of {len(lessons)} records left out: of another version of edgert",) if old else ()
    return BoardLearned(cost, write_board_cost(path, cost), notes)


def _sample(lesson: BoardLesson, target: str) -> BoardSample:
    """Both forms of a network are of one group: their files differ in the last word."""
    return BoardSample(lesson.bundle.stem.rpartition("-")[0], read_network(lesson.bundle, target), lesson.record)


def _platform(lessons: Sequence[BoardLesson], target: Target) -> BoardPlatform | None:
    """What the newest record is of."""
    newest = max((lesson.record for lesson in lessons), key=lambda record: record.created, default=None)
    return None if newest is None else _platform_of(newest, target)


def _platform_of(record: BoardRecord, target: Target) -> BoardPlatform:
    return BoardPlatform(target.name, record.device.soc or "", record.engine.dot_product or "", record.engine.edgert)
