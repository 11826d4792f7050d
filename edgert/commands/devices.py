"""`edgert devices`: boards and groups of them by name, and their firmware."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgert.codec import to_plain
from edgert.commands.console import Console, format_table
from edgert.devices.names import Device, add_device, load_devices, load_groups, remove_device, store_group
from edgert.errors import UsageError

__all__ = ["add_arguments", "devices", "execute"]

_ACTIONS = ("list", "add", "show", "remove", "group", "setup", "clean", "doctor", "flash")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert devices`."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=_ACTIONS,
        default="list",
        help="list all; add NAME URL; show, remove NAME; group NAME DEVICE,DEVICE,...; setup, clean, doctor NAME of a "
        "Linux board; flash BUNDLE for --target (default: %(default)s)",
    )
    parser.add_argument("words", nargs="*", metavar="NAME URL|DEVICES|BUNDLE", help="what the action takes")
    parser.add_argument("--target", metavar="NAME", help="flash: the board's target; add: instead of the one that fits")
    parser.add_argument(
        "--accept-new-host-key", action="store_true", help="add: store the key of a host not seen before"
    )
    parser.add_argument(
        "--engine", action="append", default=[], metavar="NAME", help="setup: only this (default: those of the target)"
    )
    parser.add_argument(
        "--offline", action="store_true", help="setup: download here and carry over; needs no network there"
    )
    parser.add_argument("--wheels", metavar="FOLDER", help="setup: take wheels from this folder and nowhere else")
    parser.add_argument("--index-url", metavar="URL", help="setup: ask this package index instead of PyPI")
    parser.add_argument("--port", metavar="FOLDER|PROBE", help="flash: drive of a UF2 board, or which debug probe")
    parser.add_argument("--dry-run", action="store_true", help="flash: build, and only print what would be executed")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    words: Sequence[str] = arguments.words
    action = arguments.action
    if action == "list":
        _exactly(words, 0, "edgert devices list")
        return _list(console)
    if action == "add":
        name, url = _exactly(words, 2, "edgert devices add NAME URL")
        return _add(name, url, arguments, console)
    if action == "group":
        return _group(words, console)
    if action == "flash":
        (bundle,) = _exactly(words, 1, "edgert devices flash BUNDLE --target NAME")
        _flash(Path(bundle), arguments, console)
        return 0
    (name,) = _exactly(words, 1, f"edgert devices {action} NAME")
    if action == "remove":
        remove_device(name)
        console.result({"removed": name}, f"removed {name}")
        return 0
    return _with_linux_board(action, name, arguments, console)


def _list(console: Console) -> int:
    found, groups = devices(), load_groups()
    rows = [(device.name, device.url, device.target or "") for device in found]
    text = (
        format_table(("device", "url", "target"), rows)
        if rows
        else "no devices; edgert devices add NAME URL stores one"
    )
    if groups:
        text += f"\n\n{_groups_text(groups)}"
    console.result({"devices": [to_plain(device) for device in found], "groups": to_plain(groups)}, text)
    return 0


def _group(words: Sequence[str], console: Console) -> int:
    if not words:
        groups = load_groups()
        nothing = "no groups; edgert devices group NAME DEVICE,DEVICE stores one"
        console.result({"groups": to_plain(groups)}, _groups_text(groups) if groups else nothing)
        return 0
    name, members = _exactly(words, 2, "edgert devices group NAME DEVICE,DEVICE")
    stored = store_group(name, members)
    console.result({"group": name, "devices": list(stored)}, f"{name}: {', '.join(stored)}")
    return 0


def _groups_text(groups: Mapping[str, Sequence[str]]) -> str:
    return format_table(("group", "devices"), [(name, ", ".join(members)) for name, members in groups.items()])


def _add(name: str, url: str, arguments: argparse.Namespace, console: Console) -> int:
    if Device(name, url).is_linux_board:
        from edgert.commands.linux_boards import add_linux_board

        return add_linux_board(name, url, arguments, console)
    device = add_device(name, url)
    console.result(to_plain(device), f"{device.name}: {device.url}")
    return 0


def _with_linux_board(action: str, name: str, arguments: argparse.Namespace, console: Console) -> int:
    from edgert.commands import linux_boards

    if action == "show":
        return linux_boards.show_device(name, console)
    if action == "setup":
        return linux_boards.set_up_linux_board(name, arguments, console)
    if action == "clean":
        return linux_boards.clean_linux_board(name, console)
    return linux_boards.doctor_linux_board(name, console)


def devices() -> tuple[Device, ...]:
    """Returns every stored device, sorted by name.

    Raises:
        InputFileError: the file of devices is damaged.
    """
    return tuple(load_devices().values())


def _flash(bundle: Path, arguments: argparse.Namespace, console: Console) -> None:
    from edgert.devices.flashing import flash_bundle

    if arguments.target is None:
        raise UsageError("say which board with --target NAME; edgert targets lists them")
    dry_run = bool(arguments.dry_run)
    done = flash_bundle(bundle, arguments.target, arguments.port, console.progress, dry_run=dry_run)
    if not done.target.hardware_verified:
        console.note(f"edgert: flashing {done.target.name} was not verified on hardware")
    lines = [shlex.join(command) for command in done.commands]
    console.result({"target": done.target.name, "commands": lines, "dry_run": dry_run}, "\n".join(lines))


def _exactly(words: Sequence[str], count: int, usage: str) -> Sequence[str]:
    if len(words) != count:
        raise UsageError(f"write: {usage}")
    return words
