"""`edgert status`: which apps run on boards, in which release, and how they are."""

from __future__ import annotations

import argparse
from typing import Any

from edgert.commands.apps_text import status_text
from edgert.commands.console import Console
from edgert.deploy.deployment import open_apps
from edgert.devices.names import Device, find_devices
from edgert.errors import DeviceError

__all__ = ["add_arguments", "execute", "status"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert status`."""
    parser.add_argument("--device", required=True, metavar="NAME[,NAME]", help="devices or groups")
    parser.add_argument("--app", metavar="NAME", help="this app only")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb; 1 where an app is not healthy, 3 where a board cannot be reached."""
    rows = [
        row
        for device in find_devices(arguments.device, allows_microcontrollers=False)
        for row in status(device, arguments.app)
    ]
    console.result({"apps": rows}, status_text(rows))
    if any("error" in row for row in rows):
        return DeviceError.exit_code
    return 0 if all(row["app"] is None or (row["health"] or {}).get("is_healthy") for row in rows) else 1


def status(device: Device, app: str | None = None) -> list[dict[str, Any]]:  # Any: JSON values
    """Returns a board's apps; one row with `app` None where it has none, with `error` where it cannot be reached.

    Raises:
        UsageError: the device is no Linux board.
    """
    try:
        with open_apps(device) as apps:
            found = apps.status(app)
    except DeviceError as error:
        return [{"device": device.name, "app": None, "error": str(error)}]
    return [{"device": device.name, **row} for row in found] or [{"device": device.name, "app": None}]
