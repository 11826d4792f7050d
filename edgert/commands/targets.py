"""`edgert targets`: the kinds of device that edgert knows."""

from __future__ import annotations

import argparse

from edgert.codec import to_plain
from edgert.commands.console import Console, format_table
from edgert.target import EngineFacts, Target, get_target, list_targets
from edgert.units import format_bytes

__all__ = ["add_arguments", "execute", "targets"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert targets`."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="show this target (default: list all)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    if arguments.name is not None:
        target = get_target(arguments.name)
        console.result(to_plain(target), _describe(target))
        return 0
    known = targets()
    rows = [
        (target.name, target.title, target.architecture, ", ".join(e.name for e in target.engines), _verified(target))
        for target in known
    ]
    header = ("target", "device", "architecture", "engines", "checked on a real board")
    console.result({"targets": [to_plain(target) for target in known]}, format_table(header, rows))
    return 0


def targets() -> tuple[Target, ...]:
    """Returns every installed target, sorted by name."""
    return tuple(get_target(name) for name in list_targets())


def _verified(target: Target) -> str:
    """The card that says so, by the last time the tables were made from profiles/ (docs/selftest.md)."""
    return target.hardware_verified or "not verified"


def _engine(engine: EngineFacts) -> str:
    opset = f", opset up to {engine.max_opset}" if engine.max_opset is not None else ""
    return f"{engine.name} {engine.min_version} or later{opset}{', optional' if engine.optional else ''}"


def _describe(target: Target) -> str:
    lines = [
        f"{target.name}: {target.title}",
        f"architecture          {target.architecture}",
        f"cores                 {target.cores or 'unknown'}",
        f"memory                {format_bytes(target.ram_bytes) if target.ram_bytes else 'unknown'}",
        f"int8 activations      {target.activation_encoding.value}",
        f"on a real board       {_verified(target)}",
    ]
    lines += [f"accelerator           {target.accelerator}"] if target.accelerator else []
    lines += [f"engine                {_engine(engine)}" for engine in target.engines]
    lines += [f"source                {source}" for source in target.sources]
    return "\n".join(lines)
