"""`edgert selftest`: tries edgert on a device of the user's own, and writes a card about it (docs/selftest.md)."""

from __future__ import annotations

import argparse
import datetime
import tempfile
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgert.codec import to_plain
from edgert.commands.console import Console, format_table
from edgert.commands.selftest_bench import Bench, Finding, remove_brought
from edgert.commands.selftest_card import SelfTestResult, check_writable, make_card, write_both
from edgert.commands.selftest_clock import StepTooLongError, TimeBudget, limited
from edgert.commands.selftest_faults import (
    check_clean,
    check_damaged_bundle,
    check_resumed_upload,
    check_unloadable_model,
    check_worker_killed,
)
from edgert.commands.selftest_steps import check_energy, check_latency, check_parity, set_up
from edgert.devices.names import find_device
from edgert.errors import EdgertError, InternalError, UsageError
from edgert.plugins import ProgressReporter, load_converter
from edgert.profiler.card import Card, CardStep, Machine, Outcome
from edgert.target import get_target

__all__ = ["SelfTestResult", "add_arguments", "execute", "selftest"]

LEAST_MINUTES, MOST_MINUTES = 1, 60
_LAST_S = 30.0
"""Kept for the removal of what was brought."""
_WIDTH = 110

Say = Callable[[CardStep], None]


@dataclass(frozen=True, slots=True)
class _Step:
    """A step: below `least_s` seconds left it is not begun, after `most_s` it is cut short."""

    name: str
    function: Callable[[Bench], Finding]
    least_s: float
    most_s: float
    needs_board: bool = False


_STEPS = (
    _Step("parity", check_parity, 20.0, 180.0),
    _Step("worker killed", check_worker_killed, 10.0, 90.0),
    _Step("upload cut off", check_resumed_upload, 10.0, 60.0, needs_board=True),
    _Step("damaged bundle", check_damaged_bundle, 5.0, 60.0),
    _Step("model that does not load", check_unloadable_model, 5.0, 60.0),
    _Step("latency", check_latency, 40.0, 240.0),
    _Step("energy", check_energy, 0.0, 10.0),
)
_SET_UP = _Step("set-up", set_up, 10.0, 300.0)
_CLEAN = _Step("nothing left behind", check_clean, 0.0, _LAST_S)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert selftest`."""
    parser.add_argument(
        "--device", required=True, metavar="NAME|URL", help="a name of edgert devices, a URL, or local: for this one"
    )
    parser.add_argument(
        "-o", "--output", type=Path, default=Path(), metavar="FOLDER", help="where the card goes (default: here)"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        metavar="N",
        help="the whole of it takes no longer; what does not fit is skipped and says so (default: %(default)s)",
    )


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    result = selftest(
        arguments.device,
        arguments.output,
        minutes=arguments.minutes,
        progress=console.progress,
        say=lambda step: console.note(f"{step.name}: {step.outcome.value} ({step.seconds:.0f} s)"),
    )
    plain = {"card": to_plain(result.card), "path": str(result.path), "page": str(result.page)}
    console.result(plain, _text(result))
    return int(bool(result.card.failed))


def selftest(
    device: str,
    output: Path,
    *,
    minutes: float = 10.0,
    progress: ProgressReporter = lambda stage, done, total: None,
    say: Say = lambda step: None,
    bundle: Path | None = None,
) -> SelfTestResult:
    """Tries set-up, parity, faults, latency and energy on a device, and writes a card and its page.

    Args:
        device: a name or URL; a Linux board or this computer.
        output: folder of the card.
        minutes: the most that it may take.
        progress: told what is going on.
        say: told every step when it has ended.
        bundle: tested instead of the small model that comes with edgert; float and int8 in ONNX and TFLite.

    Raises:
        UsageError: there is no such device, or it is a microcontroller.
        MissingExtraError: no converter is installed.
        DeviceError: the device cannot be reached; there is no card then.
        OutputError: the card cannot be written.
    """
    if not LEAST_MINUTES <= minutes <= MOST_MINUTES:
        raise UsageError(f"--minutes is {minutes:g}; it must be between {LEAST_MINUTES} and {MOST_MINUTES}")
    found = find_device(device)
    if found.is_board:
        raise UsageError(f"{device} is a microcontroller; edgert selftest takes Linux boards and local:")
    load_converter()  # a missing one is said at once, not in every step
    check_writable(output)
    created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    clock = TimeBudget(60.0 * minutes)
    with tempfile.TemporaryDirectory(prefix="edgert-selftest-") as folder:
        target = get_target(found.target or _target_of(device))
        bench = Bench(found, device, target, Path(folder), progress, bundle)
        bench.private |= bench.laptop_words()
        try:
            steps = _all_steps(bench, clock, say)
        except KeyboardInterrupt:
            progress("removing what was brought", 0, 0)
            bench.disconnect()
            _remove_quietly(bench)
            raise
        finally:
            bench.disconnect()
        card = make_card(bench, steps, created)
    return write_both(output, card)


def _all_steps(bench: Bench, clock: TimeBudget, say: Say) -> list[CardStep]:
    steps = []

    def take(step: CardStep) -> None:
        steps.append(step)
        say(step)

    take(_taken(_SET_UP, bench, clock))
    is_ready = steps[0].outcome is Outcome.PASSED
    for step in _STEPS:
        if step.needs_board and bench.is_local:
            continue
        take(_taken(step, bench, clock) if is_ready else _skipped(step, "set-up did not pass"))
    take(_taken(_CLEAN, bench, clock, reserve_s=0.0) if is_ready else _skipped(_CLEAN, "set-up did not pass"))
    take(CardStep("deploy", Outcome.SKIPPED, 0.0, "not in this version of edgert"))
    return steps


def _taken(step: _Step, bench: Bench, clock: TimeBudget, reserve_s: float = _LAST_S) -> CardStep:
    """Takes a step within its time; whatever edgert raises is a failed step."""
    left_s = clock.left_s - reserve_s
    if left_s < step.least_s:
        return _skipped(
            step, f"{max(left_s, 0.0):.0f} s were left of {clock.total_s / 60:g} min, it needs {step.least_s:g}"
        )
    bench.progress(step.name, 0, 0)
    start_s = time.monotonic()
    try:
        with limited(max(1.0, min(step.most_s, left_s))):
            finding = step.function(bench)
    except StepTooLongError as error:
        finding = Finding(Outcome.SKIPPED, f"did not end in its time: {error}")
    except InternalError:
        raise
    except EdgertError as error:
        finding = Finding(Outcome.FAILED, f"{type(error).__name__}: {error}", {"error": type(error).__name__})
    if finding.outcome is not Outcome.PASSED:
        bench.disconnect()  # it may be what did not work
    return CardStep(step.name, finding.outcome, round(time.monotonic() - start_s, 1), finding.text, finding.figures)


def _skipped(step: _Step, reason: str) -> CardStep:
    return CardStep(step.name, Outcome.SKIPPED, 0.0, reason)


def _target_of(device: str) -> str:
    """What a device is that was not added by name: this computer, or what a board's facts say."""
    if not find_device(device).is_linux_board:
        return "host"
    from edgert.devices.registry import connect
    from edgert.devices.setup import fitting_target, read_board_facts
    from edgert.devices.ssh import SshTransport

    transport = connect(device)
    assert isinstance(transport, SshTransport)
    try:
        return fitting_target(read_board_facts(transport))
    finally:
        transport.close()


def _remove_quietly(bench: Bench) -> None:
    """After Ctrl-C; a board that cannot be reached any more keeps nothing running by itself."""
    if bench.board_tmp is not None and not bench.is_local:
        try:
            with limited(_LAST_S):
                remove_brought(bench)
        except (EdgertError, StepTooLongError):
            return


def _text(result: SelfTestResult) -> str:
    card = result.card
    rows = [(step.name, step.outcome.value, f"{step.seconds:.0f} s") for step in card.steps]
    lines = [f"{card.device.name} as {card.target}", format_table(("step", "outcome", "time"), rows), ""]
    for step in card.steps:
        lines += textwrap.wrap(f"{step.name}: {step.text}", _WIDTH, subsequent_indent="  ")
    lines += ["", f"card: {result.path}", f"page: {result.page}"]
    if card.verifies:
        lines.append(f"send it: a pull request that adds it to profiles/{card.target}/ makes the target verified")
    else:
        lines.append(f"it does not make {card.target} verified: {_why_not(card)}")
    return "\n".join(lines)


def _why_not(card: Card) -> str:
    if card.failed:
        return f"failed: {', '.join(step.name for step in card.failed)}"
    if not card.is_passed:
        return "steps were skipped"
    where = "in an emulator" if card.surroundings.machine is Machine.EMULATED else "in a virtual machine"
    return f"it ran {where} ({'; '.join(card.surroundings.seen)})"
