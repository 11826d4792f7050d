"""`edgert open`: the page of an app on a board, in a browser here, through an SSH tunnel."""

from __future__ import annotations

import argparse
import contextlib
import webbrowser

from edgert.commands.console import Console
from edgert.deploy.deployment import open_apps
from edgert.deploy.tunnel import Tunnel
from edgert.devices.names import Device, find_device
from edgert.errors import DeviceError

__all__ = ["add_arguments", "execute", "keep_page", "open", "page_port"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert open`."""
    parser.add_argument("--device", required=True, metavar="NAME", help="the board")
    parser.add_argument("--app", metavar="NAME", help="which app (default: the only one there)")
    parser.add_argument("--port", type=int, metavar="N", help="port here (default: the page's own, else a free one)")
    parser.add_argument("--no-browser", action="store_true", help="only say where the page is")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb until Ctrl-C."""
    device = find_device(arguments.device)
    with open(device, arguments.app, arguments.port) as tunnel:
        console.result({"device": device.name, "url": tunnel.url}, f"{tunnel.url}  (Ctrl-C ends it)")
        keep_page(tunnel, browser=console.shows_progress and not arguments.no_browser)
    return 0


def open(device: Device, app: str | None = None, port: int | None = None) -> Tunnel:  # noqa: A001  # the verb's name
    """Returns the tunnel to an app's page, which answers; `port` as for Tunnel.

    Raises:
        DeviceError: the app does not run or has no page, or the board cannot be reached.
        UsageError: the port is taken; there is no app, or more than one.
    """
    return Tunnel(device, page_port(device, app), port)


def keep_page(tunnel: Tunnel, *, browser: bool) -> None:
    """Shows the page in a browser, where that is wanted, and keeps the tunnel up until Ctrl-C.

    Raises:
        DeviceError: the connection ended.
    """
    if browser:
        webbrowser.open(tunnel.url)
    with contextlib.suppress(KeyboardInterrupt):
        tunnel.wait()


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
