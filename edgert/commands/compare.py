"""`edgert compare A B`: is the second record slower than the first?"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgert.codec import to_plain
from edgert.commands.console import Console
from edgert.profiler.compare import Comparison, compare_records
from edgert.profiler.record import load_record
from edgert.units import format_ms

__all__ = ["add_arguments", "compare", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `edgert compare`."""
    parser.add_argument("base", type=Path, metavar="A.json", help="profile record to compare with")
    parser.add_argument("new", type=Path, metavar="B.json", help="profile record to judge")
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
    result = compare(
        arguments.base,
        arguments.new,
        max_regression_percent=arguments.max_regression,
        across_devices=arguments.across_devices,
    )
    console.result(to_plain(result), _text(result))
    return 1 if result.regression else 0


def compare(
    base: Path | str, new: Path | str, *, max_regression_percent: float = 5.0, across_devices: bool = False
) -> Comparison:
    """Compares two record files; see `edgert.profiler.compare.compare_records`.

    Raises:
        InputFileError: a file is no complete record.
        UsageError: the records are from different devices.
    """
    return compare_records(
        load_record(base),
        load_record(new),
        max_regression_percent=max_regression_percent,
        across_devices=across_devices,
    )


def _text(result: Comparison) -> str:
    low, high = result.ratio_ci95
    change = f"{result.ratio:.3f}x (95 % interval {low:.3f} to {high:.3f})"
    lines = [
        f"A p50 {format_ms(result.base_p50_ms)}, B p50 {format_ms(result.new_p50_ms)}: {change}",
        f"effect size (Cliff's delta) {result.effect:+.2f}",
        f"verdict: {_verdict(result)}",
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in result.notes)])


def _verdict(result: Comparison) -> str:
    limit = f"{result.max_regression_percent:g} %"
    if result.regression:
        return f"regression: B is slower by more than the {limit} allowed"
    if not result.significant:
        return "no significant difference"
    if result.ratio < 1:
        return "B is faster"
    return f"B is slower, but not surely by more than the {limit} allowed"
