"""`edgert profile`: one record of latency, layers, memory and energy, measured in a clean process on the device."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgert.codec import JsonValue, from_plain, to_plain
from edgert.commands.board_text import board_text
from edgert.commands.console import Console, format_table
from edgert.commands.execution import add_execution_arguments, note_tuned, open_worker, parse_engine_options
from edgert.commands.run import load_arrays
from edgert.commands.shapes import parse_shapes
from edgert.devices.names import find_device
from edgert.errors import ModelError, UsageError
from edgert.profiler.board import MeterEnergy, profile_board
from edgert.profiler.board_record import write_board_record
from edgert.profiler.record import Record, write_record
from edgert.profiler.worker import ProfileRequest
from edgert.units import format_bytes, format_ms, parse_duration_s

__all__ = ["add_arguments", "execute", "profile"]

Array = NDArray[Any]  # Any: element types are data
_LAYERS_SHOWN = 10
_CALL_MARGIN_S = 600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert profile`."""
    parser.add_argument("model", type=Path, metavar="BUNDLE", help="a .edge bundle or a plain .onnx or .tflite file")
    parser.add_argument("--input", type=Path, metavar="X.npy|X.npz", help="inputs (default: a golden sample or random)")
    parser.add_argument(
        "--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="size of an input that has none"
    )
    parser.add_argument("--duration", default="3s", metavar="TIME", help="measuring time (default: %(default)s)")
    parser.add_argument("--sustained", metavar="TIME", help="also run for this long, e.g. 10m, to see throttling")
    parser.add_argument(
        "--energy", default="auto", metavar="SENSOR", help="auto, none, a sensor or a meter (default: auto)"
    )
    parser.add_argument("--no-layers", action="store_true", help="leave out the separate run for per-layer times")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of random inputs (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, metavar="RECORD.json", help="write the record here")
    add_execution_arguments(parser)


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    console.progress("measuring", 0, 0)
    if find_device(arguments.device).is_board:
        return _execute_on_board(arguments, console)
    record, facts = _measure(
        arguments.model,
        load_arrays(arguments.input) if arguments.input else {},
        arguments.device,
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
    )
    note_tuned(facts, console)
    if arguments.output is not None:
        write_record(arguments.output, record)
        console.note(f"wrote {arguments.output}")
    console.result(to_plain(record), _text(record))
    return 0


def _execute_on_board(arguments: argparse.Namespace, console: Console) -> int:
    if (
        arguments.sustained
        or arguments.shape
        or arguments.engine_options
        or (arguments.threads, arguments.engine) != (None, None)
    ):
        raise UsageError("a microcontroller has no --sustained, --shape, --threads, --engine or --engine-option")
    record = profile_board(
        find_device(arguments.device),
        arguments.model,
        load_arrays(arguments.input) if arguments.input else {},
        created=_now(),
        variant=arguments.variant,
        duration_s=parse_duration_s(arguments.duration),
        seed=arguments.seed,
        layers=not arguments.no_layers,
        energy=_meter(arguments.energy),
    )
    if arguments.output is not None:
        write_board_record(arguments.output, record)
        console.note(f"wrote {arguments.output}")
    console.result(to_plain(record), board_text(record))
    return 0


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
    record, _ = _measure(
        model,
        inputs or {},
        device,
        variant=variant,
        threads=threads,
        engine=engine,
        options=options or {},
        shapes=shapes or {},
        duration_s=duration_s,
        sustained_s=sustained_s,
        energy=energy,
        layers=layers,
        seed=seed,
        tuned=tuned,
    )
    return record


def _measure(  # noqa: PLR0913  # one keyword per field of the request
    model: Path | str,
    inputs: Mapping[str, Array],
    device: str | None,
    *,
    variant: str | None,
    threads: int | None,
    engine: str | None,
    options: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    duration_s: float,
    sustained_s: float,
    energy: str,
    layers: bool,
    seed: int,
    tuned: bool,
) -> tuple[Record, dict[str, JsonValue]]:
    """Returns the record, and the reply's other facts."""
    with open_worker(device, "edgert.profiler.worker") as worker:
        request = ProfileRequest(
            path=worker.put(Path(model)),
            created=_now(),
            variant=variant,
            threads=threads,
            engine=engine,
            options=dict(options),
            shapes=dict(shapes),
            duration_s=duration_s,
            sustained_s=sustained_s,
            energy=energy,
            layers=layers,
            seed=seed,
            tuned=tuned,
        )
        timeout_s = 10 * duration_s + sustained_s + _CALL_MARGIN_S
        reply = worker.call("profile", to_plain(request), inputs, timeout_s=timeout_s, crash=ModelError)
        return from_plain(Record, reply.body["record"]), reply.body


def _meter(words: str) -> MeterEnergy | None:
    if words in {"auto", "none"}:
        return None
    from edgert.profiler.board_energy import measure_energy
    from edgert.profiler.energy.meters import open_meter

    sensor = open_meter(words)
    return lambda client, inputs: measure_energy(client, inputs, sensor)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def _text(record: Record) -> str:
    latency, memory, stages = record.latency, record.memory, record.stages
    low, high = (format_ms(bound) for bound in latency.p50_ci95_ms)
    lines = [
        f"{record.model.name} {record.variant} on {record.device.name}",
        f"engine      {record.engine.name} {record.engine.version}, threads {record.engine.threads or 'default'}, "
        f"dot product {record.engine.dot_product}",
        f"latency     p50 {format_ms(latency.p50_ms)} (95 % interval {low} to {high}), "
        f"p90 {format_ms(latency.p90_ms)}, p99 {format_ms(latency.p99_ms)}, mean {format_ms(latency.mean_ms)}, "
        f"{record.method.samples} samples",
        f"stages      pre-process {_stage(stages.preprocess_ms)}, inference {format_ms(stages.inference_ms)}, "
        f"post-process {_stage(stages.postprocess_ms)}",
        f"start       load {format_ms(memory.load_ms)}, first run {format_ms(memory.first_run_ms)}",
        f"memory      peak {_bytes(memory.peak_rss_bytes)}, before load {_bytes(memory.rss_before_load_bytes)}, "
        f"after load {_bytes(memory.rss_after_load_bytes)}",
        f"energy      {_energy(record)}",
    ]
    if record.sustained is not None:
        lines.append(f"sustained   last {record.sustained.span_s:g} s over first: {record.sustained.ratio:.2f}x")
    lines.append(f"verdict     {record.verdict.value}")
    lines += [f"            {reason.code}: {reason.text}" for reason in record.reasons]
    return "\n".join([*lines, *_layer_lines(record)])


def _layer_lines(record: Record) -> list[str]:
    if record.layers_reason is not None:
        return ["", f"no times of single layers: {record.layers_reason}"]
    total = sum(row.mean_ms for row in record.layers)
    if not total:
        return []
    slowest = sorted(record.layers, key=lambda row: -row.mean_ms)[:_LAYERS_SHOWN]
    rows = [(row.name, row.op, format_ms(row.mean_ms), f"{row.mean_ms / total:.1%}") for row in slowest]
    head = f"slowest {len(slowest)} of {len(record.layers)} layers, from a separate profiled run"
    return ["", head, format_table(("layer", "operator", "mean", "share"), rows)]


def _stage(time_ms: float | None) -> str:
    return "none" if time_ms is None else format_ms(time_ms)


def _bytes(size_bytes: int | None) -> str:
    return "unreadable" if size_bytes is None else format_bytes(size_bytes)


def _energy(record: Record) -> str:
    energy = record.energy
    if energy is None:
        return f"not measured: {record.energy_reason}"
    return f"{energy.net_mj:.3g} mJ per inference above idle ({energy.sensor}; leaves out {energy.leaves_out})"
