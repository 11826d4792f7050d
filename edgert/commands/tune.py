"""`edgert run --tune` and `--forget`: the flags, the call, the table."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from edgert.codec import JsonValue, to_plain
from edgert.commands.console import Console, format_table
from edgert.commands.execution import parse_engine_options
from edgert.commands.shapes import parse_shapes
from edgert.devices import connect
from edgert.devices.workers import expected_accelerator, open_worker
from edgert.errors import OutputError, UsageError
from edgert.plugins import ProgressReporter
from edgert.profiler.race_table import RaceResult, RaceRow
from edgert.profiler.tuning import TuneRequest, tune_on
from edgert.units import format_ms

__all__ = ["add_tune_arguments", "execute_forget", "execute_tune", "forget", "tune"]

_DEFAULT_SECONDS = 10.0


def add_tune_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --tune, --seconds, --eval, --shape and --forget."""
    group = parser.add_argument_group("tuning", "find what runs the model fastest here, and keep to it")
    group.add_argument(
        "--tune", action="store_true", help="race variants, engines and options, and store the winner on the device"
    )
    group.add_argument(
        "--seconds", type=float, metavar="S", help=f"measuring time of --tune (default: {_DEFAULT_SECONDS:g})"
    )
    group.add_argument(
        "--eval", metavar="DATA", help="with --tune: the winner must pass the accuracy gate on this data"
    )
    group.add_argument("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="with --tune: a size")
    group.add_argument("--forget", action="store_true", help="remove what --tune stored for this model")


def execute_tune(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the race and prints its table."""
    named = (arguments.variant, arguments.engine, parse_engine_options(arguments.engine_options))
    if any(named) or arguments.untuned or arguments.forget or arguments.input or arguments.output:
        raise UsageError(
            "--tune chooses variant, engine and options itself and needs no input: give only --threads, --device, "
            "--seconds, --eval and --shape with it"
        )
    result = tune(
        arguments.model,
        seconds=_DEFAULT_SECONDS if arguments.seconds is None else arguments.seconds,
        threads=arguments.threads,
        evaluation=arguments.eval,
        device=arguments.device,
        shapes=parse_shapes(arguments.shape),
        timeout_s=arguments.timeout,
        progress=console.progress,
    )
    for note in result.notes:
        console.note(f"edgert: {note}")
    console.result(_plain(result), _text(result))
    return 0


def execute_forget(arguments: argparse.Namespace, console: Console) -> int:
    """Removes the stored choice of a model."""
    found = forget(arguments.model, device=arguments.device)
    words = "forgot the stored choice" if found else "nothing was stored"
    console.result({"forgot": found}, f"{arguments.model}: {words}")
    return 0


def tune(
    model: Path | str,
    *,
    seconds: float = _DEFAULT_SECONDS,
    threads: int | None = None,
    evaluation: str | None = None,
    device: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    timeout_s: float = 600.0,
    progress: ProgressReporter | None = None,
) -> RaceResult:
    """Races what can run a model on a device and stores the winner in the device's settings; see docs/tune.md.

    Args:
        model: a bundle or a plain model file.
        seconds: measuring time.
        threads: the number for all; None: 1 and all physical cores are raced.
        evaluation: data that the winner must pass the accuracy gate on, as in a recipe.
        device: URL; None: this computer.
        shapes: full shapes of inputs with axes that vary, where there are no golden inputs.
        timeout_s: a candidate that does not answer one call within this is left out.
        progress: told what is going on.

    Raises:
        UsageError: an argument is out of range.
        EngineError: nothing can run the model there, or nothing that runs it passes.
        InputFileError: the model or the data is damaged.
    """
    request = TuneRequest(
        Path(model),
        seconds,
        threads,
        evaluation,
        dict(shapes or {}),
        timeout_s=timeout_s,
        accelerator=expected_accelerator(device),
    )
    transport = connect(device)
    try:
        return tune_on(transport, request, progress or _silent)
    finally:
        transport.close()


def forget(model: Path | str, *, device: str | None = None) -> bool:
    """Removes what is stored for a model on a device; returns whether there was anything.

    Raises:
        OutputError: the settings cannot be written.
    """
    with open_worker(device, "edgert.profiler.race_worker") as worker:
        reply = worker.call("forget", {"path": worker.put(Path(model))}).body
    if reply.get("error"):
        raise OutputError(str(reply["error"]))
    return bool(reply["found"])


def _silent(stage: str, done: int, total: int) -> None:
    pass


def _plain(result: RaceResult) -> JsonValue:
    return to_plain(result)


def _text(result: RaceResult) -> str:
    header = ("candidate", "p50", "p99", "ratio", "runs", "accuracy", "left out because")
    table = format_table(header, [_row(row, row is result.winner) for row in result.rows])
    lines = [table, "", f"winner: {result.winner.name}"]
    lines.append(f"measured for {result.measured_s:.1f} s, {result.total_s:.1f} s in all")
    if result.stored is not None:
        lines.append(f"stored in {result.stored}: used by run, profile and edgert.load where nothing else is named")
        lines.append("undo with --forget; --untuned leaves it out once")
    return "\n".join(lines)


def _row(row: RaceRow, is_winner: bool) -> tuple[str, ...]:
    times = ("-", "-", "-") if row.p50_ms is None else (format_ms(row.p50_ms), format_ms(row.p99_ms or 0.0), _x(row))
    return (row.name, *times, str(row.runs), row.accuracy, "(winner)" if is_winner else row.left_out or "")


def _x(row: RaceRow) -> str:
    return "-" if row.ratio is None else f"{row.ratio:.3f}x"
