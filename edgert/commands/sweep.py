"""`edgert profile --sweep`: the call and the table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgert.commands.console import format_table
from edgert.devices import connect
from edgert.devices.workers import expected_accelerator
from edgert.plugins import ProgressReporter
from edgert.profiler.request import ProfileRequest
from edgert.profiler.sweep import SweepResult, SweepRow, sweep_on
from edgert.units import format_bytes, format_ms

__all__ = ["sweep", "sweep_text"]

Array = NDArray[Any]  # Any: element types are data


def sweep(
    model: Path | str,
    inputs: Mapping[str, Array],
    device: str | None,
    request: ProfileRequest,
    progress: ProgressReporter,
) -> SweepResult:
    """Profiles engines and numbers of threads on a device; see `edgert.profiler.sweep.sweep_on`."""
    asked = dataclasses.replace(request, accelerator=expected_accelerator(device))
    transport = connect(device)
    try:
        return sweep_on(transport, Path(model), inputs, asked, progress)
    finally:
        transport.close()


def sweep_text(result: SweepResult) -> str:
    """Returns the table, the best one and where it was stored."""
    ordered = sorted(result.rows, key=lambda row: row.record.latency.p50_ms if row.record else float("inf"))
    header = ("candidate", "p50", "p99", "peak memory", "verdict", "")
    lines = [format_table(header, [_row(row, row is result.best) for row in ordered])]
    lines += ["", f"best: {result.best.name}"]
    if result.stored is not None:
        lines.append(f"stored in {result.stored}: used by run, profile and edgert.load where nothing else is named")
        lines.append("undo with edgert run --forget; --untuned leaves it out once")
    return "\n".join(lines)


def _row(row: SweepRow, is_best: bool) -> tuple[str, ...]:
    record = row.record
    if record is None:
        return (row.name, "-", "-", "-", "-", row.left_out or "")
    peak = record.memory.peak_rss_bytes
    return (
        row.name,
        format_ms(record.latency.p50_ms),
        format_ms(record.latency.p99_ms),
        "-" if peak is None else format_bytes(peak),
        record.verdict.value,
        "(best)" if is_best else "",
    )
