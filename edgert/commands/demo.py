"""`edgert demo`: convert, verify and measure a small model that comes with edgert, and say whether int8 pays here."""

from __future__ import annotations

import argparse
import importlib.resources
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgert.bundle import Bundle, Gate, Variant
from edgert.codec import JsonValue, to_plain
from edgert.commands.console import Console, format_table
from edgert.commands.profile import profile
from edgert.commands.report import report
from edgert.demo import PREPROCESS
from edgert.errors import InternalError
from edgert.plugins import ConvertResult, ProgressReporter, load_converter
from edgert.profiler.record import Record, write_record
from edgert.profiler.statistics import ratio_interval
from edgert.recipe import Recipe
from edgert.units import format_bytes, format_ms

__all__ = ["NEXT_COMMAND", "DemoResult", "DemoRow", "TimeRatio", "add_arguments", "demo", "execute"]

NEXT_COMMAND = "edgert convert MODEL --calib CAL.npz --eval EVAL.npz -o net.edge"
ROUNDS = 3
ROUND_S = 2.0
THREADS = 1


@dataclass(frozen=True, slots=True)
class TimeRatio:
    """Median time of int8 over that of float, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class DemoRow:
    """One line of the table. `accuracy` is top-1 in percent; `drop_points` is None for the reference."""

    variant: str
    size_bytes: int
    accuracy: float
    samples: int
    drop_points: float | None
    gate: Gate
    p50_ms: float


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo found and where it left its files."""

    reference: DemoRow
    int8: DemoRow
    ratio: TimeRatio
    verdict: str
    bundle: Path
    records: tuple[Path, ...]
    report: Path
    next_command: str = NEXT_COMMAND


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert demo`."""
    parser.add_argument(
        "--output-dir",
        type=Path,
        default=Path("edgert-demo"),
        metavar="DIR",
        help="where bundle, records and report go (default: %(default)s)",
    )


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    result = demo(arguments.output_dir, console.progress)
    console.result(_plain(result), describe(result))
    return 0


def demo(output_dir: Path | str, progress: ProgressReporter = lambda stage, done, total: None) -> DemoResult:
    """Converts, verifies and measures the embedded model on this computer and writes bundle, records and report.

    Float and int8 are measured in turns, in fresh processes, so that a drift of the computer meets both.

    Raises:
        MissingExtraError: the converter or an engine is not installed.
        OutputError: the folder cannot be written.
    """
    folder = Path(output_dir)
    bundle_path = folder / "digits.edge"
    converted = _convert(bundle_path, progress)
    with Bundle.open(bundle_path) as bundle:
        variants = tuple(_variant(bundle, precision) for precision in ("fp32", "int8"))
        sizes = tuple(bundle.manifest.files[variant.path].size_bytes for variant in variants)
    rounds = _measure(bundle_path, variants, progress)
    chosen = tuple(_middle([pair[i] for pair in rounds]) for i in range(2))
    rows = tuple(
        _row(variant, size, record, converted) for variant, size, record in zip(variants, sizes, chosen, strict=True)
    )
    ratio = time_ratio([pair[0] for pair in rounds], [pair[1] for pair in rounds])
    paths = tuple(write_record(folder / f"{record.variant}.json", record) for record in chosen)
    page = report(bundle_path, paths, folder / "report.html")
    return DemoResult(rows[0], rows[1], ratio, verdict_line(rows[1], ratio), bundle_path, paths, page)


def time_ratio(float_records: Sequence[Record], int8_records: Sequence[Record]) -> TimeRatio:
    """Returns median(int8) / median(float) over the samples of all rounds, with its 95 % bootstrap interval."""
    base, new = (
        [np.asarray(window) for record in records for window in record.latency.windows_ms]
        for records in (float_records, int8_records)
    )
    return TimeRatio(*ratio_interval(base, new))


def pays(int8: DemoRow, ratio: TimeRatio) -> bool:
    """True when the accuracy gate has passed and the whole interval of the time ratio lies below 1."""
    return int8.gate is Gate.PASSED and ratio.high < 1


def verdict_line(int8: DemoRow, ratio: TimeRatio) -> str:
    """Returns the one line that answers the question of the demo."""
    if not pays(int8, ratio):
        return "int8 does not pay here: keep fp32"
    change = "accuracy not measured" if int8.drop_points is None else f"{_change(int8.drop_points)} points"
    return f"int8: {ratio.value:.2f}x the time, {change}: use it"


def reason_line(int8: DemoRow, ratio: TimeRatio) -> str:
    """Returns what the verdict rests on."""
    time = f"time ratio {ratio.value:.2f}, 95 % interval {ratio.low:.2f} to {ratio.high:.2f}"
    return f"({time}; accuracy gate {int8.gate.value}, n={int8.samples})"


def describe(result: DemoResult) -> str:
    """Returns the table, the verdict, the report's path and, as the last line, the command for the user's model."""
    header = ("variant", "size", "accuracy", "n", "p50", "time")
    rows = [_cells(result.reference, "1.00x"), _cells(result.int8, f"{result.ratio.value:.2f}x")]
    return "\n".join(
        [
            format_table(header, rows),
            "",
            result.verdict,
            reason_line(result.int8, result.ratio),
            "",
            f"report: {result.report}",
            "your own model:",
            result.next_command,
        ]
    )


def _plain(result: DemoResult) -> dict[str, JsonValue]:
    return {
        "variants": [to_plain(result.reference), to_plain(result.int8)],
        "time_ratio": to_plain(result.ratio),
        "pays": pays(result.int8, result.ratio),
        "verdict": result.verdict,
        "bundle": str(result.bundle),
        "records": [str(path) for path in result.records],
        "report": str(result.report),
        "next_command": result.next_command,
    }


def _cells(row: DemoRow, ratio: str) -> tuple[str, ...]:
    accuracy = f"{row.accuracy:.2f} %"
    return (row.variant, format_bytes(row.size_bytes), accuracy, str(row.samples), format_ms(row.p50_ms), ratio)


def _change(drop_points: float) -> str:
    """Returns the change of accuracy: a drop is negative."""
    change = round(-drop_points, 1) + 0.0
    return f"{change:+.1f}" if change else "0.0"


def _convert(output: Path, progress: ProgressReporter) -> ConvertResult:
    files = importlib.resources.files("edgert.demo")
    with ExitStack() as stack:
        model, calib, evaluation = (
            stack.enter_context(importlib.resources.as_file(files / name))
            for name in ("digits.onnx", "digits_calib.npz", "digits_eval.npz")
        )
        recipe = Recipe(
            model=model,
            output=output,
            calib=str(calib),
            eval=str(evaluation),
            labels=tuple(str(digit) for digit in range(10)),
            preprocess=PREPROCESS,
        )
        return load_converter().convert(recipe, progress)


def _variant(bundle: Bundle, precision: str) -> Variant:
    found = next((v for v in bundle.manifest.variants if v.precision == precision and v.format == "onnx"), None)
    if found is None:
        raise InternalError(f"the conversion of the embedded model made no {precision} variant")
    return found


def _measure(bundle: Path, variants: Sequence[Variant], progress: ProgressReporter) -> list[tuple[Record, Record]]:
    rounds = []
    for index in range(ROUNDS):
        progress("measure", index, ROUNDS)
        float_record, int8_record = (
            profile(bundle, variant=variant.id, threads=THREADS, duration_s=ROUND_S) for variant in variants
        )
        rounds.append((float_record, int8_record))
    return rounds


def _middle(records: Sequence[Record]) -> Record:
    """Returns the record of median p50: the one that table and report show."""
    return sorted(records, key=lambda record: record.latency.p50_ms)[len(records) // 2]


def _row(variant: Variant, size_bytes: int, record: Record, converted: ConvertResult) -> DemoRow:
    reference: dict[str, JsonValue] = converted.summary["reference"]
    found: dict[str, JsonValue] = next((row for row in converted.summary["variants"] if row["id"] == variant.id), {})
    is_reference = variant.precision == "fp32"
    return DemoRow(
        variant=variant.id,
        size_bytes=size_bytes,
        accuracy=float(reference["value"] if is_reference else found["value"]),
        samples=int(reference["n"]),
        drop_points=None if is_reference else float(found["drop"]),
        gate=variant.gate,
        p50_ms=record.latency.p50_ms,
    )
