"""Brings a release to one Linux board, lets it be tried there, and says how that ended."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgert.codec import JsonValue
from edgert.deploy.outcome import Outcome, Result
from edgert.deploy.plan import COMMAND, MODEL, Plan
from edgert.devices.link import LinkLostError
from edgert.devices.names import Device
from edgert.devices.setup import set_up_board
from edgert.devices.ssh import SshTransport, open_ssh
from edgert.devices.ssh_words import UnreachableError
from edgert.errors import DeviceError, EdgertError, UsageError
from edgert.onboard.digest import file_sha256
from edgert.onboard.facts import APP_PACKAGES
from edgert.onboard.manifest import Manifest, parse_manifest, release_id
from edgert.plugins import ProgressReporter

__all__ = ["Apps", "SetUp", "deploy_to_board", "open_apps", "roll_back"]

_ASK_S = 60.0
_ADD_S = 300.0
_REMOVE_S = 120.0

Body = dict[str, Any]  # Any: JSON values


@dataclass(frozen=True, slots=True)
class SetUp:
    """How an environment is installed where the board has none for apps (edgert.devices.setup)."""

    offline: bool = False
    wheels: Path | None = None
    index_url: str | None = None


class Apps:
    """The apps of a board. Close it, or use it as a context manager."""

    def __init__(self, device: Device, transport: SshTransport) -> None:
        self.device, self.transport = device, transport

    def status(self, app: str | None = None) -> list[Body]:
        """Returns every app, or one (edgert.onboard.apps).

        Raises:
            DeviceError: the board cannot be reached.
        """
        found: list[Body] = self._ask("app_status", _ASK_S, {"app": app})["apps"]
        return found

    def only_app(self, app: str | None) -> str:
        """Returns the app that is meant: the one that was named, else the only one that is there.

        Raises:
            UsageError: there is none, or more than one.
            DeviceError: the board cannot be reached.
        """
        if app is not None:
            return app
        names = [str(found["app"]) for found in self.status()]
        if len(names) != 1:
            there = f"there are {', '.join(names)}: say which with --app" if names else "no app was deployed there"
            raise UsageError(f"{self.device.name}: {there}")
        return names[0]

    def log(self, app: str, lines: int) -> str:
        """Returns the last lines of an app.

        Raises:
            DeviceError: there is no such app, its log cannot be read, or the board cannot be reached.
        """
        return str(self._ask("app_log", _ASK_S, {"app": app, "lines": lines})["text"])

    def remove(self, app: str) -> None:
        """Ends an app and removes all of it.

        Raises:
            DeviceError: there is no such app, or the board cannot be reached.
        """
        self._ask("remove_app", _REMOVE_S, {"app": app})

    def prepare(self, app: str) -> Body:
        """Says what would watch the app, and the code that this edgert has there; ends a trial that nobody watches."""
        return self._ask("prepare_app", _ASK_S, {"app": app})

    def add(self, manifest: bytes) -> Body:
        """Makes a release of files that were sent; the board checks the bundle's signature where it trusts keys."""
        return self._ask("add_release", _ADD_S, {"manifest": manifest.decode()})

    def try_release(self, app: str, release: str, limits: Body) -> Body:
        """Runs a release on trial; returns edgert.onboard.trial.Verdict."""
        return self._ask("try_release", _trial_s(limits), {"app": app, "release": release, "limits": limits})

    def go_back(self, app: str, limits: Body) -> Body:
        """Runs the release that was trusted before on trial; returns edgert.onboard.trial.Verdict."""
        return self._ask("go_back", _trial_s(limits), {"app": app, "limits": limits})

    def close(self) -> None:
        """Ends the connection."""
        self.transport.close()

    def __enter__(self) -> Apps:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, call: str, timeout_s: float, body: Body) -> Body:
        return self.transport.link.request(call, timeout_s, body)


def open_apps(device: Device, *, is_unattended: bool = False) -> Apps:
    """Returns the apps of a Linux board; it connects when it is first asked. For `is_unattended` see open_ssh.

    Raises:
        UsageError: the device is no Linux board.
    """
    if not device.is_linux_board:
        raise UsageError(f"{device.name} is no Linux board: apps are on devices with an ssh:// URL")
    return Apps(device, open_ssh(device, is_unattended=is_unattended))


def deploy_to_board(
    device: Device,
    plan: Plan,
    limits: Body,
    set_up: SetUp,
    progress: ProgressReporter,
    *,
    force: bool = False,
    is_unattended: bool = False,
) -> Outcome:
    """Deploys to one board; whatever goes wrong there is in the outcome, and what ran before runs.

    Args:
        device: a Linux board.
        plan: what is to run.
        limits: what it must keep (edgert.deploy.limits).
        set_up: how to install what apps need, where the board does not have it.
        progress: told what is going on.
        force: try it although the board runs this release already.
        is_unattended: one of many at once (see open_ssh).
    """
    start_s = time.monotonic()
    release: str | None = None
    runs: str | None = None
    try:
        with open_apps(device, is_unattended=is_unattended) as apps:
            app = apps.only_app(plan.app)
            progress(f"{device.name}: looking", 0, 0)
            prepared = apps.prepare(app)
            if prepared["linger_command"]:
                reason = f"apps would end with the last login; run there once: {prepared['linger_command']}"
                return _outcome(device, Result.REFUSED, reason, start_s)
            there = apps.status(app)[0]
            runs = there["state"]["trusted"]
            environment = _environment(apps, set_up, progress)
            manifest = _send(apps, plan, there["manifest"], prepared["code"], environment, progress)
            release = release_id(manifest)
            if runs == release and there["service"]["is_active"] and not force:
                return _outcome(device, Result.UNCHANGED, None, start_s, release, runs, there["health"])
            progress(f"{device.name}: checking the bundle", 0, 0)
            apps.add(manifest)
            progress(f"{device.name}: trying it", 0, 0)
            return _judged(device, apps.try_release(app, release, limits), start_s)
    except (UnreachableError, LinkLostError) as error:
        return _outcome(device, Result.UNREACHABLE, str(error), start_s, release, runs)
    except EdgertError as error:
        result = Result.REFUSED if isinstance(error, DeviceError | UsageError) else Result.FAILED
        return _outcome(device, result, str(error), start_s, release, runs)


def roll_back(device: Device, app: str | None, limits: Body) -> Outcome:
    """Goes back to the release that was trusted before, which is watched as a new one is.

    Raises:
        EdgertError: the board cannot be reached, or there is nothing to go back to.
    """
    start_s = time.monotonic()
    with open_apps(device) as apps:
        return _judged(device, apps.go_back(apps.only_app(app), limits), start_s)


def _judged(device: Device, verdict: Body, start_s: float) -> Outcome:
    result = Result.DEPLOYED if verdict["trusted"] else Result.ROLLED_BACK
    if not verdict["trusted"] and verdict["runs"] is None:
        result = Result.FAILED
    reason = verdict["reason"]
    return _outcome(device, result, reason, start_s, verdict["release"], verdict["runs"], verdict["health"])


def _outcome(  # noqa: PLR0913  # the fields of one
    device: Device,
    result: Result,
    reason: str | None,
    start_s: float,
    release: str | None = None,
    runs: str | None = None,
    health: dict[str, JsonValue] | None = None,
) -> Outcome:
    return Outcome(device.name, result, reason, release, runs, time.monotonic() - start_s, health)


def _environment(apps: Apps, set_up: SetUp, progress: ProgressReporter) -> str:
    """The name of the board's environment, with what apps need installed where that is missing."""
    reply = apps.transport.link.request("facts", _ASK_S)
    facts = reply["facts"]
    if reply["environment"] is None or set(facts["app_packages"]) < set(APP_PACKAGES):
        set_up_board(
            apps.device,
            apps.transport,
            engines=_installed_engines(facts),
            offline=set_up.offline,
            wheels=set_up.wheels,
            index_url=set_up.index_url,
            for_apps=True,
            progress=progress,
        )
        reply = apps.transport.link.request("facts", _ASK_S)
    return str(reply["environment"])


def _installed_engines(facts: Body) -> tuple[str, ...]:
    """Engines that stay when more is installed; none: those of the board's target."""
    by_package = {"onnxruntime": "onnxruntime", "ai-edge-litert": "litert", "tflite-runtime": "tflite-runtime"}
    by_package["onnxruntime-gpu"] = "onnxruntime"
    return tuple(dict.fromkeys(by_package[name] for name in facts["engines"] if name in by_package))


def _send(
    apps: Apps, plan: Plan, current: str | None, code: str, environment: str, progress: ProgressReporter
) -> bytes:
    """Sends what the board does not have, and returns the release.json of it all.

    Raises:
        UsageError: a bundle alone, and no app is there.
        DeviceError: the board has no room, or cannot be reached.
    """
    kept = _kept(apps, plan, current)
    with plan.release_files() as files:
        hashes = {name: file_sha256(path) for name, path in files.items()}
        for index, (name, path) in enumerate(files.items()):
            progress(f"{apps.device.name}: sending {name}", index, len(files))
            apps.transport.put(path)
    if kept is None:
        assert plan.app is not None
        manifest = Manifest(1, plan.app, hashes, code, environment, MODEL, list(COMMAND))
    else:
        manifest = dataclasses.replace(kept, files={**kept.files, **hashes}, code=code, environment=environment)
    return json.dumps(dataclasses.asdict(manifest), sort_keys=True).encode()


def _kept(apps: Apps, plan: Plan, current: str | None) -> Manifest | None:
    """The release whose files stay, for a bundle alone."""
    if plan.files:
        return None
    if current is None:
        raise UsageError(f"{apps.device.name}: there is no app for the bundle yet; deploy an app's folder first")
    return parse_manifest(current.encode())


def _trial_s(limits: Body) -> float:
    """Both releases may take their time, and a service some to stop."""
    return 4 * float(limits["ready_s"]) + 2 * float(limits["alive_s"]) + _ASK_S
