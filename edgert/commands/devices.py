"""`edgert devices`: boards by name, and their firmware."""

from __future__ import annotations

import argparse
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgert.codec import to_plain
from edgert.commands.console import Console, format_table
from edgert.devices.names import Device, add_device, load_devices, remove_device
from edgert.errors import UsageError

__all__ = ["add_arguments", "devices", "execute"]

_ACTIONS = ("list", "add", "remove", "flash")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert devices`."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=_ACTIONS,
        default="list",
        help="list all; add NAME URL; remove NAME; flash BUNDLE for --target (default: %(default)s)",
    )
    parser.add_argument("words", nargs="*", metavar="NAME URL|BUNDLE", help="what the action takes")
    parser.add_argument("--target", metavar="NAME", help="flash: the board's target")
    parser.add_argument("--port", metavar="FOLDER|PROBE", help="flash: drive of a UF2 board, or which debug probe")
    parser.add_argument("--dry-run", action="store_true", help="flash: build, and only print what would be executed")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    words: Sequence[str] = arguments.words
    if arguments.action == "add":
        device = add_device(*_exactly(words, 2, "edgert devices add NAME URL"))
        console.result(to_plain(device), f"{device.name}: {device.url}")
    elif arguments.action == "remove":
        (name,) = _exactly(words, 1, "edgert devices remove NAME")
        remove_device(name)
        console.result({"removed": name}, f"removed {name}")
    elif arguments.action == "flash":
        (bundle,) = _exactly(words, 1, "edgert devices flash BUNDLE --target NAME")
        _flash(Path(bundle), arguments, console)
    else:
        _exactly(words, 0, "edgert devices list")
        found = devices()
        rows = [(device.name, device.url) for device in found]
        text = format_table(("device", "url"), rows) if rows else "no devices; edgert devices add NAME URL stores one"
        console.result({"devices": [to_plain(device) for device in found]}, text)
    return 0


def devices() -> tuple[Device, ...]:
    """Returns every stored device, sorted by name.

    Raises:
        InputFileError: the file of devices is damaged.
    """
    return tuple(load_devices().values())


def _flash(bundle: Path, arguments: argparse.Namespace, console: Console) -> None:
    from edgert.devices.c_variant import load_c_variant
    from edgert.target import get_target, load_module

    if arguments.target is None:
        raise UsageError("say which board with --target NAME; edgert targets lists them")
    target = get_target(arguments.target)
    flash = load_module(target.name, "flash")
    found = load_c_variant(bundle, target.name)
    with tempfile.TemporaryDirectory(prefix="edgert-firmware-") as folder:
        console.progress("building", 0, 0)
        firmware = load_module(target.name, "build").build_firmware(target, found.files, Path(folder))
        steps = flash.flash_commands(target, firmware, arguments.port)
        lines = [shlex.join(step) for step in steps]
        if not target.hardware_verified:
            console.note(f"edgert: flashing {target.name} was not verified on hardware")
        if not arguments.dry_run:
            flash.run_commands(target, steps)
        console.result({"target": target.name, "commands": lines, "dry_run": arguments.dry_run}, "\n".join(lines))


def _exactly(words: Sequence[str], count: int, usage: str) -> Sequence[str]:
    if len(words) != count:
        raise UsageError(f"write: {usage}")
    return words
