"""`edgert profile`: one record of latency, layers, memory and energy, measured in a clean process on the device."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgert.codec import to_plain
from edgert.commands.board_text import board_text
from edgert.commands.console import Console
from edgert.commands.energy_arguments import add_energy_arguments, parse_duty, with_asked_duty
from edgert.commands.execution import add_execution_arguments, note_tuned, parse_engine_options
from edgert.commands.profile_text import profile_text
from edgert.commands.run import load_arrays
from edgert.commands.shapes import parse_shapes
from edgert.commands.sweep import sweep, sweep_text
from edgert.devices.names import find_device
from edgert.errors import OutputError, UsageError
from edgert.profiler.board import MeterEnergy, profile_board
from edgert.profiler.on_device import profile_on_device, target_name, time_now
from edgert.profiler.record import Record, Verdict
from edgert.profiler.record_files import AnyRecord, append_record, records_folder, write_any_record
from edgert.profiler.request import ProfileRequest
from edgert.profiler.sweep import SweepRow
from edgert.units import parse_duration_s

__all__ = ["add_arguments", "execute", "profile"]

Array = NDArray[Any]  # Any: element types are data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert profile`."""
    parser.add_argument("model", type=Path, metavar="BUNDLE", help="a .edge bundle or a plain .onnx or .tflite file")
    parser.add_argument("--input", type=Path, metavar="X.npy|X.npz", help="inputs (default: a golden sample or random)")
    parser.add_argument(
        "--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="size of an input that has none"
    )
    parser.add_argument("--duration", default="3s", metavar="TIME", help="measuring time (default: %(default)s)")
    parser.add_argument("--sustained", metavar="TIME", help="also run for this long, e.g. 10m, to see throttling")
    add_energy_arguments(parser)
    parser.add_argument("--no-layers", action="store_true", help="leave out the separate run for per-layer times")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of random inputs (default: %(default)s)")
    parser.add_argument(
        "--sweep",
        action="store_true",
        help="profile engines and numbers of threads one after the other, and store the best on the device",
    )
    parser.add_argument("--require-valid", action="store_true", help="exit code 1 unless the verdict is valid")
    parser.add_argument("-o", "--output", type=Path, metavar="RECORD.json", help="write the record here, and only here")
    parser.add_argument(
        "--records",
        type=Path,
        metavar="FOLDER",
        help="add the record to this folder (default: $EDGERT_RECORDS, ./profiles of a project, or the user's data)",
    )
    parser.add_argument("--no-record", action="store_true", help="keep no record")
    add_execution_arguments(parser)


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    if arguments.no_record and (arguments.output is not None or arguments.records is not None):
        raise UsageError("--no-record goes with neither -o nor --records")
    parse_duty(arguments.rate, arguments.battery)  # a wrong word is refused before anything runs
    console.progress("measuring", 0, 0)
    if find_device(arguments.device).is_board:
        return _execute_on_board(arguments, console)
    request, inputs = _request(arguments), load_arrays(arguments.input) if arguments.input else {}
    if arguments.sweep:
        return _execute_sweep(arguments, request, inputs, console)
    record, facts = profile_on_device(arguments.device, arguments.model, inputs, request)
    record = with_asked_duty(record, arguments)
    note_tuned(facts, console)
    console.result(to_plain(record), profile_text(record))
    _keep(arguments, [record], record, console)
    return _status(arguments, record, console)


def _execute_sweep(
    arguments: argparse.Namespace, request: ProfileRequest, inputs: Mapping[str, Array], console: Console
) -> int:
    measured = sweep(arguments.model, inputs, arguments.device, request, console.progress)
    result = dataclasses.replace(
        measured,
        rows=tuple(_with_duty(row, arguments) for row in measured.rows),
        best=_with_duty(measured.best, arguments),
    )
    for note in result.notes:
        console.note(f"edgert: {note}")
    console.result(to_plain(result), sweep_text(result))
    best = result.best.record
    assert best is not None
    _keep(arguments, [row.record for row in result.rows if row.record is not None], best, console)
    return _status(arguments, best, console)


def _with_duty(row: SweepRow, arguments: argparse.Namespace) -> SweepRow:
    return row if row.record is None else dataclasses.replace(row, record=with_asked_duty(row.record, arguments))


def _execute_on_board(arguments: argparse.Namespace, console: Console) -> int:
    if (
        arguments.sustained
        or arguments.shape
        or arguments.engine_options
        or arguments.sweep
        or arguments.require_valid
        or (arguments.threads, arguments.engine) != (None, None)
    ):
        raise UsageError(
            "a microcontroller has no --sustained, --shape, --threads, --engine, --engine-option, --sweep or "
            "--require-valid"
        )
    record = profile_board(
        find_device(arguments.device),
        arguments.model,
        load_arrays(arguments.input) if arguments.input else {},
        created=time_now(),
        variant=arguments.variant,
        duration_s=parse_duration_s(arguments.duration),
        seed=arguments.seed,
        layers=not arguments.no_layers,
        energy=_meter(arguments.energy),
    )
    record = with_asked_duty(record, arguments)
    console.result(to_plain(record), board_text(record))
    _keep(arguments, [record], record, console)
    return 0


def _request(arguments: argparse.Namespace) -> ProfileRequest:
    return ProfileRequest(
        path="",
        created=time_now(),
        variant=arguments.variant,
        threads=arguments.threads,
        engine=arguments.engine,
        options=parse_engine_options(arguments.engine_options),
        shapes=parse_shapes(arguments.shape),
        duration_s=parse_duration_s(arguments.duration),
        sustained_s=parse_duration_s(arguments.sustained) if arguments.sustained else 0.0,
        energy=arguments.energy,
        layers=not arguments.no_layers,
        seed=arguments.seed,
        tuned=not arguments.untuned,
        target=target_name(arguments.device),
    )


def _keep(arguments: argparse.Namespace, records: Sequence[AnyRecord], best: AnyRecord, console: Console) -> None:
    """Writes the best to -o and adds all to the folder, which is the default one only where -o is not given."""
    if arguments.no_record:
        return
    if arguments.output is not None:
        write_any_record(arguments.output, best)
        console.note(f"wrote {arguments.output}")
        if arguments.records is None:
            return
    try:
        for record in records:
            console.note(f"kept {append_record(arguments.records or records_folder(), record)}")
    except OutputError as error:
        if arguments.records is not None:
            raise
        console.note(f"edgert: the record was not kept: {error}; name a folder with --records, or --no-record")


def _status(arguments: argparse.Namespace, record: Record, console: Console) -> int:
    if not arguments.require_valid or record.verdict is Verdict.VALID:
        return 0
    for reason in record.reasons:
        console.error(f"edgert: {record.verdict.value}: {reason.code}: {reason.text}")
    return 1


def profile(  # noqa: PLR0913  # one keyword per flag of the verb
    model: Path | str,
    inputs: Mapping[str, Array] | None = None,
    *,
    variant: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    engine: str | None = None,
    options: Mapping[str, str] | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    duration_s: float = 3.0,
    sustained_s: float = 0.0,
    energy: str = "auto",
    layers: bool = True,
    seed: int = 0,
    tuned: bool = True,
) -> Record:
    """Measures a model on a device, in a process of its own, and returns the record.

    `inputs` are by input name; one array of any name is the only input of a model; `image` is a decoded image
    uint8[H, W, 3] that goes through the bundle's pre-processing. Where variant, engine and options are left open, what
    `edgert run --tune` stored on the device counts, unless `tuned` is False. For microcontrollers see
    `edgert.profiler.board.profile_board`.

    Raises:
        ModelError: the model is damaged, or crashed the engine.
        DynamicShapeError: an input has no fixed size; give `shapes` or `inputs`.
        EngineError: the engine is missing or failed.
    """
    if find_device(device).is_board:
        raise UsageError(f"{device} is a microcontroller; its record comes from edgert.profiler.board.profile_board")
    request = ProfileRequest(
        path="",
        created=time_now(),
        variant=variant,
        threads=threads,
        engine=engine,
        options=dict(options or {}),
        shapes=dict(shapes or {}),
        duration_s=duration_s,
        sustained_s=sustained_s,
        energy=energy,
        layers=layers,
        seed=seed,
        tuned=tuned,
        target=target_name(device),
    )
    return profile_on_device(device, model, inputs or {}, request)[0]


def _meter(words: str) -> MeterEnergy | None:
    if words in {"auto", "none"}:
        return None
    from edgert.profiler.board_energy import measure_energy
    from edgert.profiler.energy.meters import open_meter

    sensor = open_meter(words)
    return lambda client, inputs: measure_energy(client, inputs, sensor)
