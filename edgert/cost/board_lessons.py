"""Teaches the cost model of an emulated microcontroller: random networks become C, run once each, and are counted.

Each is made in two forms that compute differently: as edgert quantizes a float model (requantization mode fp32), and
as it takes an int8 .tflite file (q31). A network that cannot be made or does not fit stays away, with the reason in a
file; what was counted stays in the folder, so that a run that was ended goes on where it was.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgert.bundle import Bundle, replace_atomically
from edgert.cost.files import make_folder
from edgert.cost.random_networks import Bounds, random_network
from edgert.devices.names import Device
from edgert.errors import DeviceError, DoesNotFitError, MissingToolError, ModelError, UsageError
from edgert.plugins import ProgressReporter, load_converter
from edgert.profiler.board import profile_board
from edgert.profiler.board_record import BoardRecord, parse_board_record, write_board_record
from edgert.profiler.on_device import time_now
from edgert.recipe import Algorithm, RangeMethod, Recipe
from edgert.target import Microcontroller, Target

__all__ = ["FORMS", "BoardLesson", "count_networks"]

_log = logging.getLogger(__name__)

FORMS = ("fp32", "q31")
"""Modes of requantization, docs/numerics.md."""
_CALIBRATION_SAMPLES = 2
_MOST_MACS = 10_000_000
_BLOCKS = (
    *("plain", "residual", "bottleneck", "bottleneck", "separable", "separable", "separable"),
    *("pooled", "widened", "fire"),
)
"""As networks for microcontrollers have them: depthwise convolutions most."""
_SIZES = ((8, 8), (16, 16), (28, 28), (32, 32), (49, 10), (40, 40), (64, 64), (96, 96))
_WIDTHS = (4, 8, 12, 16, 24, 32, 48, 64)


@dataclass(frozen=True, slots=True)
class BoardLesson:
    """One form of a random network: its bundle, and the file and content of its record."""

    bundle: Path
    path: Path
    record: BoardRecord


def count_networks(
    folder: Path,
    *,
    device: Device,
    target: Target,
    networks: int,
    minutes: float,
    progress: ProgressReporter = lambda stage, done, total: None,
) -> list[BoardLesson]:
    """Counts random networks 0, 1, ...; what an earlier run counted is taken as it is.

    Args:
        folder: where bundles and records are kept.
        device: an emulated board.
        target: what it is.
        networks: how many.
        minutes: no network is begun after these.
        progress: told networks done.

    Raises:
        OutputError: the folder cannot be written.
        DeviceError: the emulator does not start.
        MissingToolError: the compiler or the emulator is not installed.
        MissingExtraError: a package for making the networks is not installed.
    """
    board = target.microcontroller
    assert board is not None
    make_folder(folder)
    deadline = time.monotonic() + 60 * minutes
    lessons = []
    for seed in range(networks):
        progress("counting networks", seed, networks)
        paths = [folder / f"random-{seed}-{form}.edge" for form in FORMS]
        if not all(_is_counted(path) for path in paths) and time.monotonic() > deadline:
            break
        if not all(_is_made(path) for path in paths):
            _make(paths, seed, target.name, board)
        lessons += [lesson for path in paths if (lesson := _lesson(path, device)) is not None]
    return lessons


def bounds_of(board: Microcontroller) -> Bounds:
    """Returns what networks fit a board, and do not keep an emulator busy for long."""
    return Bounds(
        _BLOCKS,
        _SIZES,
        _WIDTHS,
        256,
        (2, 4, 10, 12, 100),
        5_000,
        _MOST_MACS,
        min(board.ram_bytes // 4, 150_000),
        min(board.flash_bytes // 2, 400_000),
    )


def _make(paths: list[Path], seed: int, target: str, board: Microcontroller) -> None:
    """The bundles of both forms; ranges come from noise, for the counts hardly depend on them."""
    own, imported = paths
    data, shape = random_network(seed, bounds_of(board))
    model, noise, again = (own.with_suffix(suffix) for suffix in (".onnx", ".npz", ".tflite"))
    replace_atomically(model, data)
    samples = np.random.default_rng(seed).standard_normal((_CALIBRATION_SAMPLES, *shape[1:]), np.float32)
    np.savez(noise, input=samples)
    try:
        if _convert(own, model, target, ("c", "tflite"), str(noise)):
            with Bundle.open(own) as bundle:
                replace_atomically(again, bundle.read(bundle.manifest.variant("tflite-int8").path))
            _convert(imported, again, target, ("c",), None)
        else:
            _refuse(imported, _refusal(own).read_text())
    finally:
        for path in (model, noise, again):
            path.unlink(missing_ok=True)


def _convert(path: Path, model: Path, target: str, formats: tuple[str, ...], calib: str | None) -> bool:
    """False, with the reason in a file, where there is no C of it or it is too big."""
    recipe = Recipe(
        model,
        targets=(target,),
        output=path,
        calib=calib,
        formats=formats,
        ranges=RangeMethod.MIN_MAX,
        algorithms=(Algorithm.NONE,),
    )
    try:
        load_converter().convert(recipe, lambda stage, done, total: None)
    except (ModelError, DoesNotFitError) as error:
        _refuse(path, str(error))
        return False
    return True


def _refuse(path: Path, reason: str) -> None:
    replace_atomically(_refusal(path), reason.encode())


def _refusal(path: Path) -> Path:
    return path.with_suffix(".refused")


def _is_made(path: Path) -> bool:
    return path.exists() or _refusal(path).exists()


def _is_counted(path: Path) -> bool:
    return path.with_suffix(".json").exists() or _refusal(path).exists()


def _lesson(path: Path, device: Device) -> BoardLesson | None:
    if _refusal(path).exists():
        return None
    kept = path.with_suffix(".json")
    if kept.exists():
        return BoardLesson(path, kept, parse_board_record(kept.read_bytes(), str(kept)))
    try:
        record = _profile(path, device)
    except MissingToolError:
        raise
    except UsageError as error:  # the firmware around it takes more than there is
        _refuse(path, str(error))
        return None
    write_board_record(kept, record)
    return BoardLesson(path, kept, record)


def _profile(path: Path, device: Device) -> BoardRecord:
    """The record; a computer that is busy may let an emulator wait until it is given up, so that is tried twice."""
    try:
        return profile_board(device, path, {}, created=time_now(), duration_s=0.0)
    except DeviceError as error:
        _log.info("%s: %s; once more", path.name, error)
    return profile_board(device, path, {}, created=time_now(), duration_s=0.0)
