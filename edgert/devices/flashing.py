"""Firmware of a bundle onto a microcontroller: built here, written by the tools that the target names."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgert.devices.c_variant import load_c_variant
from edgert.plugins import ProgressReporter
from edgert.target import Target, get_target, load_module

__all__ = ["Flashed", "flash_bundle"]


@dataclass(frozen=True, slots=True)
class Flashed:
    """For which target firmware was built, and the commands that write it."""

    target: Target
    commands: tuple[tuple[str, ...], ...]


def flash_bundle(
    bundle: Path, target_name: str, port: str | None, progress: ProgressReporter, *, dry_run: bool = False
) -> Flashed:
    """Builds the firmware of a bundle and writes it to the board.

    Args:
        bundle: with C for the target.
        target_name: of the board.
        port: drive of a UF2 board, or which debug probe; None: the one that is found.
        progress: told what is going on.
        dry_run: build, and write nothing.

    Raises:
        UsageError, ModelError: there is no such target, or no C for it in the bundle.
        MissingToolError: a compiler or a flashing tool is missing.
        DeviceError: a command fails.
    """
    target = get_target(target_name)
    flash = load_module(target.name, "flash")
    found = load_c_variant(bundle, target.name)
    with tempfile.TemporaryDirectory(prefix="edgert-firmware-") as folder:
        progress("building", 0, 0)
        firmware = load_module(target.name, "build").build_firmware(target, found.files, Path(folder))
        steps = flash.flash_commands(target, firmware, port)
        if not dry_run:
            progress("flashing", 0, 0)
            flash.run_commands(target, steps)
    return Flashed(target, tuple(tuple(step) for step in steps))
