"""`edgert compare A B`: is the second record slower than the first? Folders of records are compared pair by pair."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgert.codec import JsonValue, to_plain
from edgert.commands.console import Console, format_table
from edgert.errors import UsageError
from edgert.profiler.compare import BoardComparison, Comparison, Pair, compare_any, pair_records
from edgert.profiler.record_files import LoadedRecord, find_records, load_any_record
from edgert.units import format_ms

__all__ = ["add_arguments", "compare", "execute"]

AnyComparison = Comparison | BoardComparison


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert compare`."""
    parser.add_argument("base", metavar="A", help="profile record to compare with; or a folder or glob of records")
    parser.add_argument("new", metavar="B", help="profile record to judge; or a folder or glob of records")
    parser.add_argument(
        "--max-regression",
        type=float,
        default=5.0,
        metavar="PERCENT",
        help="slow-down allowed; exit code 1 beyond it (default: %(default)s)",
    )
    parser.add_argument("--across-devices", action="store_true", help="compare records from different devices")


def execute(arguments: argparse.Namespace, console: Console) -> int:
    """Runs the verb."""
    base, new = (_find(word, console) for word in (arguments.base, arguments.new))
    pairs, alone = pair_records(base, new, across_devices=arguments.across_devices)
    if not pairs:
        raise UsageError(
            f"{arguments.base} and {arguments.new} share no model, variant, engine, threads and device; "
            "--across-devices leaves out the device"
        )
    for loaded in alone:
        console.note(f"edgert: {loaded.path}: no record of the same kind on the other side")
    results = [
        compare_any(
            pair.base.record,
            pair.new.record,
            max_regression_percent=arguments.max_regression,
            across_devices=arguments.across_devices,
        )
        for pair in pairs
    ]
    if len(base) == len(new) == 1:
        console.result(to_plain(results[0]), _text(results[0]))
    else:
        console.result(_plain(pairs, results, alone), _table(pairs, results))
    return 1 if any(result.regression for result in results) else 0


def compare(
    base: Path | str, new: Path | str, *, max_regression_percent: float = 5.0, across_devices: bool = False
) -> AnyComparison:
    """Compares two record files; see `edgert.profiler.compare.compare_any`.

    Raises:
        InputFileError: a file is no complete record.
        UsageError: the records are from different devices, or of different kinds.
    """
    return compare_any(
        load_any_record(Path(base)),
        load_any_record(Path(new)),
        max_regression_percent=max_regression_percent,
        across_devices=across_devices,
    )


def _find(word: str, console: Console) -> tuple[LoadedRecord, ...]:
    found, passed = find_records([word])
    for path in passed:
        console.note(f"edgert: {path}: passed over, no profile record")
    return found


def _plain(pairs: tuple[Pair, ...], results: list[AnyComparison], alone: tuple[LoadedRecord, ...]) -> JsonValue:
    rows = [
        {"base": str(pair.base.path), "new": str(pair.new.path), **to_plain(result)}
        for pair, result in zip(pairs, results, strict=True)
    ]
    return {"comparisons": rows, "unmatched": [str(loaded.path) for loaded in alone]}


def _table(pairs: tuple[Pair, ...], results: list[AnyComparison]) -> str:
    header = ("model", "variant", "device", "engine", "A", "B", "ratio", "verdict")
    table = format_table(header, [_row(pair, result) for pair, result in zip(pairs, results, strict=True)])
    notes = [
        f"note: {pair.new.record.model.name} {pair.new.record.variant}: {note}"
        for pair, result in zip(pairs, results, strict=True)
        for note in result.notes
    ]
    return "\n".join([table, *dict.fromkeys(notes)])


def _row(pair: Pair, result: AnyComparison) -> tuple[str, ...]:
    record = pair.new.record
    engine = f"{record.engine.name}, threads {record.engine.threads or 'default'}"
    if isinstance(result, BoardComparison):
        values = (f"{result.base_count:,}", f"{result.new_count:,}", f"{result.ratio:.3f}x")
    else:
        low, high = result.ratio_ci95
        ratio = f"{result.ratio:.3f}x ({low:.3f} to {high:.3f})"
        values = (format_ms(result.base_p50_ms), format_ms(result.new_p50_ms), ratio)
    return (record.model.name, record.variant, record.device.name, engine, *values, _verdict(result))


def _text(result: AnyComparison) -> str:
    lines = _board_lines(result) if isinstance(result, BoardComparison) else _time_lines(result)
    return "\n".join([*lines, f"verdict: {_verdict(result)}", *(f"note: {note}" for note in result.notes)])


def _time_lines(result: Comparison) -> list[str]:
    low, high = result.ratio_ci95
    change = f"{result.ratio:.3f}x (95 % interval {low:.3f} to {high:.3f})"
    return [
        f"A p50 {format_ms(result.base_p50_ms)}, B p50 {format_ms(result.new_p50_ms)}: {change}",
        f"effect size (Cliff's delta) {result.effect:+.2f}",
    ]


def _board_lines(result: BoardComparison) -> list[str]:
    return [
        f"A {result.base_count:,} {result.unit}, B {result.new_count:,} {result.unit}: {result.ratio:.3f}x",
        f"RAM {result.base_ram_bytes:,} and {result.new_ram_bytes:,} bytes, "
        f"flash {result.base_flash_bytes:,} and {result.new_flash_bytes:,} bytes",
    ]


def _verdict(result: AnyComparison) -> str:
    limit = f"{result.max_regression_percent:g} %"
    word = "is slower" if isinstance(result, Comparison) else f"takes more {result.unit}"
    if result.regression:
        return f"regression: B {word} by more than the {limit} allowed"
    if isinstance(result, BoardComparison):
        return "the same" if result.ratio == 1 else f"B takes {'fewer' if result.ratio < 1 else 'more'} {result.unit}"
    if not result.significant:
        return "no significant difference"
    if result.ratio < 1:
        return "B is faster"
    return f"B is slower, but not surely by more than the {limit} allowed"
