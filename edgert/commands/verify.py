"""`edgert verify`: do the engines give the integers that the numerics contract says, layer by layer?"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgert.commands.console import Console, format_table
from edgert.commands.run import load_arrays
from edgert.commands.shapes import parse_shapes
from edgert.devices.names import find_device
from edgert.devices.workers import open_worker
from edgert.errors import UsageError
from edgert.plugins import ProgressReporter, load_converter
from edgert.verification import DEFAULT_SAMPLES, PEERS, LayerSteps, Mode, Pair, VerifyReport, VerifyRequest

__all__ = ["add_arguments", "execute", "verify"]

_BOTH = "both"
_FEW_LAYERS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert verify`."""
    parser.add_argument(
        "model", type=Path, metavar="MODEL", help="a bundle with an int8 variant, a QDQ .onnx or an int8 .tflite file"
    )
    parser.add_argument("--variant", metavar="ID", help="variant of the bundle (default: its first int8 one)")
    parser.add_argument(
        "--input", type=Path, metavar="X.npy|X.npz", help="inputs (default: the bundle's golden ones, else random ones)"
    )
    parser.add_argument(
        "--samples", type=int, default=DEFAULT_SAMPLES, metavar="N", help="samples at most (default: %(default)s)"
    )
    parser.add_argument(
        "--mode",
        choices=[*(mode.value for mode in Mode), _BOTH],
        default=_BOTH,
        help="each layer alone on the interpreter's integers, the whole model, or both (default: %(default)s)",
    )
    parser.add_argument(
        "--engine",
        action="append",
        default=[],
        dest="engines",
        metavar="NAME",
        help=f"compare only this; may be given several times: {', '.join(PEERS)}, litert (default: all installed)",
    )
    parser.add_argument(
        "--device", metavar="NAME|URL", help="also compare the engines of this board, or the C on this microcontroller"
    )
    parser.add_argument("--requantize", choices=["fp32", "q31"], help="judge by this mode (default: the model's own)")
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="size of an input")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of random inputs (default: %(default)s)")
    parser.add_argument(
        "--max-steps", type=int, metavar="N", help="exit code 1 where anything differs by more (default: only report)"
    )
    parser.add_argument("--layers", action="store_true", help="list every layer, not only those that differ")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    if arguments.max_steps is not None and arguments.max_steps < 0:
        raise UsageError(f"--max-steps is {arguments.max_steps}; it must not be negative")
    found = find_device(arguments.device)
    if arguments.device is not None and not (found.is_board or found.is_linux_board):
        raise UsageError(f"--device {arguments.device}: that is for boards; leave it out for this computer")
    report = verify(
        arguments.model,
        variant=arguments.variant,
        inputs=None if arguments.input is None else load_arrays(arguments.input),
        samples=arguments.samples,
        modes=tuple(Mode) if arguments.mode == _BOTH else (Mode(arguments.mode),),
        engines=arguments.engines,
        requantize=arguments.requantize,
        shapes=parse_shapes(arguments.shape),
        seed=arguments.seed,
        progress=console.progress,
        device=arguments.device,
    )
    console.result(report.to_json(), _text(report, arguments.layers))
    is_exact = found.is_board  # generated C, which has no kernels of somebody else
    allowed = 0 if is_exact and arguments.max_steps is None else arguments.max_steps
    return int(allowed is not None and report.max_steps > allowed)


def verify(  # noqa: PLR0913  # one keyword per flag of the verb
    model: Path | str,
    *,
    variant: str | None = None,
    inputs: Mapping[str, NDArray[Any]] | None = None,  # Any: element types are data
    samples: int = DEFAULT_SAMPLES,
    modes: Sequence[Mode] = tuple(Mode),
    engines: Sequence[str] = (),
    requantize: str | None = None,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    seed: int = 0,
    progress: ProgressReporter | None = None,
    device: str | None = None,
) -> VerifyReport:
    """Compares engines here, and those of a board, or a microcontroller, with the integer interpreter (docs/verify.md).

    Raises:
        UsageError: an option does not fit the model.
        InputFileError: the model is damaged or has no integer layers, or the inputs do not fit it.
        EngineError: an engine that was named is not installed.
        MissingExtraError: no converter is installed.
        DeviceError: the board does not answer, or runs another model.
    """
    request = VerifyRequest(
        model=Path(model),
        variant=variant,
        inputs=inputs,
        samples=samples,
        modes=tuple(modes),
        peers=tuple(engines),
        requantize=requantize,
        seed=seed,
        shapes=dict(shapes or {}),
    )
    with _on_board(request, device) as complete:
        return load_converter().verify(complete, progress or _silent)


@contextmanager
def _on_board(request: VerifyRequest, device: str | None) -> Iterator[VerifyRequest]:
    """Gives the request, with the board that was named; a microcontroller is compared end to end."""
    found = find_device(device)
    if device is None:
        yield request
        return
    if not found.is_board:
        from edgert.devices.remote_engines import RemoteEngines

        with open_worker(device) as worker:
            yield dataclasses.replace(request, engines=RemoteEngines(worker, found.name))
        return
    from edgert.devices.board_session import BoardLayers, BoardSession

    with BoardSession(found, request.model, request.variant) as session:
        variant, modes = session.found.variant.id, (Mode.END_TO_END,)
        yield dataclasses.replace(request, board=BoardLayers(session), variant=variant, modes=modes)


def _silent(stage: str, done: int, total: int) -> None:
    pass


def _text(report: VerifyReport, with_layers: bool) -> str:
    title = " ".join(part for part in (report.name, report.variant) if part)
    head = f"{title}: {report.layer_count} integer layers, {report.requantize} requantization, {report.samples}"
    parts = [head, _summary(report)]
    parts += [_pair_table(pair, with_layers) for pair in report.pairs if with_layers or pair.first_divergence]
    notes = [f"note: {pair.peer}, {_words(pair.mode)}: {note}" for pair in report.pairs for note in pair.notes]
    missing = _missing(report)
    if report.float_errors:
        worst = min(report.float_errors, key=lambda row: row.sqnr_db)
        notes.append(f"against the float model: worst {worst.sqnr_db:.1f} dB at {worst.op} {worst.layer!r}")
    return "\n\n".join([*parts, *(["\n".join([*missing, *notes])] if missing or notes else [])])


def _summary(report: VerifyReport) -> str:
    rows = []
    for pair in report.pairs:
        first = pair.first_divergence
        where = "-" if first is None else f"{first.op} {first.layer}: {_steps(first.max_steps)}"
        engine = f"{pair.peer} {pair.version}"
        share = _share(pair.differing_share)
        rows.append((_words(pair.mode), engine, str(len(pair.layers)), str(pair.max_steps), share, where))
    if not rows:
        return "nothing could be compared"
    header = ("mode", "engine", "layers", "max steps", "differ", "first divergence")
    return format_table(header, rows) + f"\ndot product: {report.dot_product}"


def _pair_table(pair: Pair, with_layers: bool) -> str:
    layers = [layer for layer in pair.layers if with_layers or layer.max_steps]
    shown = layers if with_layers else layers[:_FEW_LAYERS]
    title = f"{pair.peer}, {_words(pair.mode)}; {', '.join(pair.kernels)}"
    table = format_table(("layer", "operator", "kernels", "max steps", "differ"), [_layer_row(row) for row in shown])
    more = len(layers) - len(shown)
    return f"{title}\n{table}" + (f"\n{more} more layers differ; --layers lists them" if more else "")


def _layer_row(layer: LayerSteps) -> tuple[str, ...]:
    share = _share(layer.differing / layer.count if layer.count else 0.0)
    return (layer.layer, layer.op, ", ".join(layer.kernels) or "-", str(layer.max_steps), share)


def _missing(report: VerifyReport) -> list[str]:
    """One line per reason: a layer that cannot be cut is often one of many."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for row in report.not_compared:
        layer = f"{row.op} {row.layer}" if row.layer else ""
        reason = row.reason.removeprefix(f"node {row.layer!r}: ")
        grouped.setdefault((row.peer, _words(row.mode), reason), []).append(layer)
    return [
        f"not compared: {peer}, {mode}{', ' + _few(layers) if layers[0] else ''}: {reason}"
        for (peer, mode, reason), layers in grouped.items()
    ]


def _few(layers: Sequence[str]) -> str:
    shown = ", ".join(layers[:3])
    return shown if len(layers) <= 3 else f"{shown} and {len(layers) - 3} more"


def _words(mode: Mode) -> str:
    return mode.value.replace("_", " ")


def _steps(count: int) -> str:
    return f"{count} step{'s' if count != 1 else ''}"


def _share(share: float) -> str:
    percent = 100 * share
    return "0" if share == 0 else f"{percent:{'.2g' if percent < 10 else '.0f'}} %"
