"""`edgert undeploy`: an app off a board."""

from __future__ import annotations

import argparse

from edgert.commands.console import Console
from edgert.deploy.deployment import open_apps
from edgert.devices.names import Device, find_device

__all__ = ["add_arguments", "execute", "undeploy"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert undeploy`."""
    parser.add_argument("--device", required=True, metavar="NAME", help="the board")
    parser.add_argument("--app", metavar="NAME", help="which app (default: the only one there)")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    device = find_device(arguments.device)
    app = undeploy(device, arguments.app)
    console.result({"device": device.name, "app": app}, f"{device.name}: {app} is gone, with all its releases")
    return 0


def undeploy(device: Device, app: str | None = None) -> str:
    """Ends an app and removes its service and releases; returns its name. The environment stays for the next.

    Raises:
        DeviceError: there is no such app, or the board cannot be reached.
        UsageError: there is no app, or more than one.
    """
    with open_apps(device) as apps:
        found = apps.only_app(app)
        apps.remove(found)
    return found
