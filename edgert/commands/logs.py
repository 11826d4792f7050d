"""`edgert logs`: what an app on a board wrote."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from edgert.commands.console import Console
from edgert.deploy.deployment import Apps, open_apps
from edgert.devices.names import find_device
from edgert.errors import UsageError

__all__ = ["add_arguments", "execute", "follow_log", "logs"]

_MOST_LINES = 10_000
_FOLLOWED_LINES = 500
_EVERY_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert logs`."""
    parser.add_argument("--device", required=True, metavar="NAME", help="the board")
    parser.add_argument("--app", metavar="NAME", help="which app (default: the only one there)")
    parser.add_argument("-n", "--lines", type=int, default=50, metavar="N", help="so many lines (default: %(default)s)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until Ctrl-C")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    if not 1 <= arguments.lines <= _MOST_LINES:
        raise UsageError(f"--lines {arguments.lines}: 1 to {_MOST_LINES}")
    if arguments.follow and console.as_json:
        raise UsageError("--json prints one object; leave --follow out")
    device = find_device(arguments.device)
    with open_apps(device) as apps:
        app, text = logs(apps, arguments.app, arguments.lines)
        console.result({"device": device.name, "app": app, "text": text}, text.rstrip("\n"))
        if arguments.follow:
            for line in follow_log(apps, app):
                console.result(None, line)
    return 0


def logs(apps: Apps, app: str | None = None, lines: int = 50) -> tuple[str, str]:
    """Returns an app's name, for None the only one there, and the last lines that it wrote.

    Raises:
        DeviceError: its log cannot be read, or the board cannot be reached.
        UsageError: there is no app, or more than one.
    """
    name = apps.only_app(app)
    return name, apps.log(name, lines)


def follow_log(apps: Apps, app: str) -> Iterator[str]:
    """Yields the lines that an app writes from now on, asking once a second; of more than 500 in a second, the last."""
    before = apps.log(app, _FOLLOWED_LINES).splitlines()
    while True:
        time.sleep(_EVERY_S)
        now = apps.log(app, _FOLLOWED_LINES).splitlines()
        yield from now[_overlap(before, now) :]
        before = now


def _overlap(before: list[str], now: list[str]) -> int:
    """How many lines at the beginning of `now` are the end of `before`."""
    return next(
        count for count in range(min(len(before), len(now)), -1, -1) if before[len(before) - count :] == now[:count]
    )
