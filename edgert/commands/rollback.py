"""`edgert rollback`: back to the release that was trusted before."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from edgert.codec import JsonValue, to_plain
from edgert.commands.console import Console
from edgert.deploy.deployment import roll_back
from edgert.deploy.outcome import Outcome
from edgert.devices.names import Device, find_device

__all__ = ["add_arguments", "execute", "rollback"]

_LIMITS: Mapping[str, JsonValue] = {"ready_s": 60.0, "alive_s": 10.0, "slower": None}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert rollback`."""
    parser.add_argument("--device", required=True, metavar="NAME", help="the board")
    parser.add_argument("--app", metavar="NAME", help="which app (default: the only one there)")
    parser.add_argument("--ready-s", type=float, default=60.0, metavar="S", help="until it must run (%(default)g)")
    parser.add_argument("--alive-s", type=float, default=10.0, metavar="S", help="then it must go on (%(default)g)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb; 1 where the earlier release does not run and the present one stays."""
    device = find_device(arguments.device)
    limits = {"ready_s": arguments.ready_s, "alive_s": arguments.alive_s}
    outcome = rollback(device, arguments.app, limits)
    words = (
        f"runs {outcome.runs} again" if outcome.outcome.has_release else f"stays at {outcome.runs}: {outcome.reason}"
    )
    console.result(to_plain(outcome), f"{device.name}: {words}")
    return 0 if outcome.outcome.has_release else 1


def rollback(device: Device, app: str | None = None, limits: Mapping[str, JsonValue] | None = None) -> Outcome:
    """Goes back to the release that was trusted before; it must give its known answers and run, at whatever speed.

    Raises:
        DeviceError: there is no earlier release on the board, or the board cannot be reached.
        UsageError: there is no app, or more than one.
    """
    return roll_back(device, app, {**_LIMITS, **(limits or {})})
