"""`edgert open`: the page of an app on a board, in a browser here, through an SSH tunnel."""

from __future__ import annotations

import argparse
import webbrowser

from edgert.commands.console import Console
from edgert.deploy.deployment import open_apps
from edgert.deploy.tunnel import Tunnel
from edgert.devices.names import Device, find_device
from edgert.errors import DeviceError

__all__ = ["add_arguments", "execute", "page_port", "show_page"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert open`."""
    parser.add_argument("--device", required=True, metavar="NAME", help="the board")
    parser.add_argument("--app", metavar="NAME", help="which app (default: the only one there)")
    parser.add_argument("--port", type=int, metavar="N", help="port here (default: the page's own, else a free one)")
    parser.add_argument("--no-browser", action="store_true", help="only say where the page is")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb until Ctrl-C."""
    device = find_device(arguments.device)
    show_page(device, arguments.app, console, port=arguments.port, browser=not arguments.no_browser)
    return 0


def show_page(
    device: Device, app: str | None, console: Console, *, port: int | None = None, browser: bool = True
) -> None:
    """Opens the tunnel, says where the page is, and keeps it up until Ctrl-C.

    Raises:
        DeviceError: the app does not run or has no page, or the connection ended.
        UsageError: the port is taken; there is no app, or more than one.
    """
    with Tunnel(device, page_port(device, app), port) as tunnel:
        console.result({"device": device.name, "url": tunnel.url}, f"{tunnel.url}  (Ctrl-C ends it)")
        if browser and console.shows_progress:
            webbrowser.open(tunnel.url)
        try:
            tunnel.wait()
        except KeyboardInterrupt:
            return


def page_port(device: Device, app: str | None) -> int:
    """Returns the port of an app's page on its board.

    Raises:
        DeviceError: the app does not run, has no page, or the board cannot be reached.
        UsageError: there is no app, or more than one.
    """
    with open_apps(device) as apps:
        name = apps.only_app(app)
        health = apps.status(name)[0]["health"]
    if health is None or not health["page"]:
        why = "does not say how it is" if health is None else health["problem"] or f"has no page ({health['phase']})"
        raise DeviceError(f"{device.name}: {name} {why}; see edgert status and edgert logs --device {device.name}")
    return int(str(health["page"]).rpartition(":")[2])
