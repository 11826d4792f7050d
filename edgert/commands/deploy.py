"""`edgert deploy`: an app or a new model onto boards, tried there before it is trusted."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from edgert.commands.console import Console, format_table
from edgert.deploy.deployment import SetUp, deploy_to_board
from edgert.deploy.journal import Journal, begin_journal, resume_journal
from edgert.deploy.limits import limits_of
from edgert.deploy.microcontroller import Flash, deploy_to_microcontroller, run_here
from edgert.deploy.outcome import Outcome
from edgert.deploy.plan import Plan, read_plan
from edgert.deploy.rollout import Rollout, run_waves
from edgert.deploy.table import ROLLOUT_HEADER, exit_code_of, plain_rollout, rollout_rows, rollout_summary
from edgert.deploy.waves import Wave, plan_waves
from edgert.devices.names import Device, find_devices
from edgert.errors import UsageError
from edgert.plugins import ProgressReporter

__all__ = ["Fleet", "add_arguments", "deploy", "execute"]


@dataclasses.dataclass(frozen=True, slots=True)
class Fleet:
    """How a release reaches several devices (edgert.deploy.rollout)."""

    canary: int = 1
    wave: str | int = "25%"
    max_failures: str | int = "10%"
    parallel: int = 4
    resume: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert deploy`."""
    add = parser.add_argument
    add("what", type=Path, metavar="APP|BUNDLE", help="an app's folder, or a .edge bundle for an app that is there")
    add("--device", metavar="NAME[,NAME]", help="devices or groups")
    add("--bundle", type=Path, metavar="FILE", help="the app's model (default: bundle in its edgert.toml)")
    add("--target", metavar="NAME", help="of a microcontroller that is to be flashed")
    add("--port", metavar="FOLDER|PROBE", help="of a microcontroller: drive of a UF2 board, or which debug probe")
    add("--dockerfile", type=Path, metavar="FILE", help="deploy nothing, write a Dockerfile for the app")
    add("--app", metavar="NAME", help="which app a bundle alone is for (default: the only one there)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, over edgert.toml; may be repeated")
    add("--open", action="store_true", help="then open the app's page, as edgert open does")
    add("--force", action="store_true", help="try the release although it runs already")
    _add_health(parser)
    _add_fleet(parser)
    _add_set_up(parser)


def _add_health(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what it must keep to be trusted").add_argument
    add("--ready-s", type=float, metavar="S", help="known answers and first frames within so many seconds (60)")
    add("--alive-s", type=float, metavar="S", help="goes on for so many seconds after that (10)")
    add("--max-p95-ms", type=float, metavar="MS", help="most that 95 %% of inferences may take (from a profile)")
    add("--max-energy-mj", type=float, metavar="MJ", help="most energy per frame (from a profile)")
    add("--slower", type=float, metavar="X", help="so many times the profile, or the release before, is allowed (1.5)")


def _add_fleet(parser: argparse.ArgumentParser) -> None:
    add, default = parser.add_argument_group("several devices").add_argument, Fleet()
    add("--canary", type=int, default=default.canary, metavar="N", help="so many first; none may fail (%(default)s)")
    add("--wave", default=default.wave, metavar="N|P%", help="then so many at a time (25%%)")
    add("--max-failures", default=default.max_failures, metavar="N|P%", help="stop when more than that failed (10%%)")
    add("--parallel", type=int, default=default.parallel, metavar="N", help="at once, at most (%(default)s)")
    add("--resume", action="store_true", help="go on with a rollout of this release that stopped")


def _add_set_up(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("where a board lacks what apps need").add_argument
    add("--offline", action="store_true", help="download here and carry over; needs no network there")
    add("--wheels", type=Path, metavar="FOLDER", help="take wheels from this folder and nowhere else")
    add("--index-url", metavar="URL", help="ask this package index instead of PyPI")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    health = {
        name: getattr(arguments, name) for name in ("ready_s", "alive_s", "max_p95_ms", "max_energy_mj", "slower")
    }
    plan = read_plan(arguments.what, app=arguments.app, bundle=arguments.bundle, settings=arguments.set, health=health)
    if arguments.dockerfile is not None:
        return _write_dockerfile(plan, arguments.dockerfile, console)
    if arguments.device is None:
        raise UsageError("say where with --device NAME; edgert devices list names them")
    devices = find_devices(arguments.device)
    first, *others = devices
    if arguments.open and others:
        raise UsageError("--open opens the page of one device")
    fleet = Fleet(arguments.canary, arguments.wave, arguments.max_failures, arguments.parallel, arguments.resume)
    set_up = SetUp(arguments.offline, arguments.wheels, arguments.index_url)
    flash = Flash(arguments.target, arguments.port)
    rollout = deploy(plan, devices, fleet=fleet, set_up=set_up, flash=flash, force=arguments.force, console=console)
    text = _text(rollout) if others else _one(rollout.outcomes[0])
    status = exit_code_of(rollout)
    if arguments.open and not status and first.is_board:
        console.result(plain_rollout(rollout), text)
        return run_here(first, plan)
    if arguments.open and not status:
        from edgert.commands import open as page

        with page.open(first, plan.app or arguments.app) as tunnel:
            console.result({**plain_rollout(rollout), "url": tunnel.url}, f"{text}\n{tunnel.url}  (Ctrl-C ends it)")
            page.keep_page(tunnel, browser=console.shows_progress)
    else:
        console.result(plain_rollout(rollout), text)
    return status


def deploy(
    plan: Plan,
    devices: tuple[Device, ...],
    *,
    fleet: Fleet | None = None,
    set_up: SetUp | None = None,
    flash: Flash | None = None,
    force: bool = False,
    console: Console | None = None,
) -> Rollout:
    """Deploys to devices, wave after wave; what a device says is in its outcome and no exception.

    Args:
        plan: what is to run (edgert.deploy.plan.read_plan).
        devices: Linux boards and microcontrollers.
        fleet: the order, and when to stop.
        set_up: how a Linux board gets what apps need.
        flash: how a microcontroller gets its firmware.
        force: try the release where it runs already, too.
        console: hears of progress.

    Raises:
        UsageError: a device is this computer, or an amount cannot be.
        OutputError: the journal of the rollout cannot be written.
    """
    fleet, set_up, flash = fleet or Fleet(), set_up or SetUp(), flash or Flash()
    for device in devices:
        if not (device.is_linux_board or device.is_board):
            raise UsageError(f"{device.name} is this computer: python {plan.app or 'app'}/app.py runs an app here")
    waves, journal = _waves(plan, devices, fleet)
    is_alone = len(devices) == 1
    progress = console.progress if console is not None and is_alone else _silent

    def deploy_one(device: Device) -> Outcome:
        if device.is_board:
            return deploy_to_microcontroller(device, plan, flash, progress)
        limits = limits_of(plan, device)
        return deploy_to_board(device, plan, limits, set_up, progress, force=force, is_unattended=not is_alone)

    def report(wave: int, device: Device, outcome: Outcome | None) -> None:
        if console is not None and not is_alone and outcome is not None:
            why = f": {outcome.reason}" if outcome.reason else ""
            console.note(f"edgert: wave {wave + 1}, {device.name}: {outcome.outcome.value}{why}")

    return run_waves(
        waves,
        deploy_one,
        release=plan.fingerprint,
        max_failures=fleet.max_failures,
        parallel=fleet.parallel,
        journal=journal,
        report=report,
    )


def _waves(plan: Plan, devices: tuple[Device, ...], fleet: Fleet) -> tuple[tuple[Wave, ...], Journal | None]:
    """One device needs no journal: what it runs says how far things are."""
    if fleet.resume:
        journal = resume_journal(plan.fingerprint, devices)
        return journal.waves, journal
    waves = plan_waves(devices, fleet.canary, fleet.wave)
    return waves, begin_journal(plan.fingerprint, waves) if len(devices) > 1 else None


def _silent(stage: str, done: int, total: int) -> None:
    """A ProgressReporter for many devices at once: each is told when it has ended."""


_: ProgressReporter = _silent


def _write_dockerfile(plan: Plan, path: Path, console: Console) -> int:
    from edgert.deploy.container import write_dockerfile

    written = write_dockerfile(plan, path)
    console.result({"dockerfile": str(written)}, f"{written}: build it there; nothing was built here")
    return 0


def _text(rollout: Rollout) -> str:
    return f"{format_table(ROLLOUT_HEADER, rollout_rows(rollout))}\n\n{rollout_summary(rollout)}"


def _one(outcome: Outcome) -> str:
    lines = [f"{outcome.device}: {outcome.outcome.value} ({outcome.seconds:.1f} s)"]
    if outcome.reason:
        lines.append(f"  reason  {outcome.reason}")
    lines.append(f"  runs    {outcome.runs or 'nothing that is known'}")
    health = outcome.health or {}
    if outcome.outcome.has_release and "frames" in health:
        took = health.get("inference_ms") or {}
        p95 = f", 95 % of inferences within {took['p95']:.4g} ms" if took else ""
        lines.append(f"  health  {health['frames']} frames, {health['fps']:.3g} a second{p95}")
        if health.get("page"):
            lines.append(f"  page    edgert open --device {outcome.device}")
    answers = health.get("known_answers")
    if outcome.outcome.has_release and answers:
        lines.append(
            f"  answers {answers['samples']} known ones, at most {answers['max_steps']:g} {answers['unit']} off"
        )
    return "\n".join(lines)
