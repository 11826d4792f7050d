"""Deploys to a microcontroller: flash, then the canary on the board. It has one slot and nothing to go back to."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from edgert.app.known_answers import check_known_answers
from edgert.deploy.outcome import Outcome, Result
from edgert.deploy.plan import SETTINGS, Plan
from edgert.devices.board_session import BoardSession
from edgert.devices.flashing import flash_bundle
from edgert.devices.names import Device
from edgert.errors import DeviceError, EdgertError, UsageError
from edgert.onboard.health import KnownAnswers
from edgert.plugins import ProgressReporter

__all__ = ["Flash", "deploy_to_microcontroller", "run_here"]

_FLASH_AGAIN = "the board has one slot: what it held is gone; deploy the bundle of before to have it back"


@dataclass(frozen=True, slots=True)
class Flash:
    """How a real board is flashed; an emulated one needs nothing.

    Attributes:
        target: of the board.
        port: drive of a UF2 board, or which debug probe.
    """

    target: str | None = None
    port: str | None = None


def deploy_to_microcontroller(device: Device, plan: Plan, flash: Flash, progress: ProgressReporter) -> Outcome:
    """Flashes the plan's bundle and asks the board for its known answers; whatever goes wrong is in the outcome."""
    start_s = time.monotonic()
    is_flashed = False
    try:
        if not device.url.startswith("qemu:"):
            if flash.target is None:
                raise UsageError(f"{device.name}: say which board it is with --target NAME; edgert targets lists them")
            flash_bundle(plan.bundle, flash.target, flash.port, progress)
            is_flashed = True
        progress(f"{device.name}: known answers", 0, 0)
        answers = _canary(device, plan.bundle)
    except EdgertError as error:
        result = Result.UNREACHABLE if isinstance(error, DeviceError) and not is_flashed else Result.FAILED
        reason = f"{error}; {_FLASH_AGAIN}" if is_flashed else str(error)
        return Outcome(device.name, result, reason, plan.fingerprint, None, time.monotonic() - start_s)
    health = {"known_answers": dataclasses.asdict(answers)}
    seconds = time.monotonic() - start_s
    return Outcome(device.name, Result.DEPLOYED, None, plan.fingerprint, plan.fingerprint, seconds, health)


def run_here(device: Device, plan: Plan) -> int:
    """Runs the app on this computer with the board as its device, until Ctrl-C; returns its exit code.

    Raises:
        UsageError: the plan is a bundle alone, without an app.
    """
    if "app.py" not in plan.files:
        raise UsageError(f"{plan.bundle} is a bundle alone; the page of a microcontroller is an app's, here")
    with tempfile.TemporaryDirectory(prefix="edgert-app-") as folder:
        settings = Path(folder) / SETTINGS
        settings.write_text(json.dumps({**plan.settings, "bundle": str(plan.bundle.resolve()), "device": device.name}))
        command = [sys.executable, str(plan.files["app.py"]), "--settings", str(settings)]
        with subprocess.Popen(command) as child:
            try:
                return child.wait()
            except KeyboardInterrupt:
                return child.wait()  # it hears of Ctrl-C itself, and ends with its figures


def _canary(device: Device, bundle: Path) -> KnownAnswers:
    with BoardSession(device, bundle) as board:
        answers = check_known_answers(bundle, board.session)
    if answers is None:
        raise UsageError(f"{bundle}: holds no known answers of its C; convert the model again, with calibration data")
    return answers
