"""Compares two profile records: how much slower or faster, how sure that is, and whether it is a regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgert.errors import UsageError
from edgert.profiler.record import Record, Verdict
from edgert.profiler.statistics import cliffs_delta, ratio_interval

__all__ = ["Comparison", "compare_records"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`ratio` is the new median latency over the base's, with its 95 % interval; above 1 is slower.

    `significant` means that the interval excludes 1; `regression` that all of it lies beyond what is allowed.
    `effect` is Cliff's delta: -1 always faster, 1 always slower.
    """

    base_p50_ms: float
    new_p50_ms: float
    ratio: float
    ratio_ci95: tuple[float, float]
    effect: float
    significant: bool
    regression: bool
    max_regression_percent: float
    notes: tuple[str, ...]


def compare_records(
    base: Record, new: Record, *, max_regression_percent: float = 5.0, across_devices: bool = False
) -> Comparison:
    """Compares the latency of two records.

    The interval resamples windows and runs within each record. It does not hold what differs between two processes
    (memory layout, for example): repeat the records to see that.

    Raises:
        UsageError: the records are from different devices and `across_devices` is not set, or the limit is negative.
    """
    if max_regression_percent < 0:
        raise UsageError(f"max_regression is {max_regression_percent:g} %; it must be 0 or more")
    if base.device.identity() != new.device.identity() and not across_devices:
        raise UsageError(
            f"the records are from different devices: {_device(base)} and {_device(new)}; "
            "compare them all the same with --across-devices"
        )
    base_windows = [np.asarray(window) for window in base.latency.windows_ms]
    new_windows = [np.asarray(window) for window in new.latency.windows_ms]
    ratio, low, high = ratio_interval(base_windows, new_windows)
    return Comparison(
        base_p50_ms=base.latency.p50_ms,
        new_p50_ms=new.latency.p50_ms,
        ratio=ratio,
        ratio_ci95=(low, high),
        effect=cliffs_delta(np.concatenate(base_windows), np.concatenate(new_windows)),
        significant=low > 1 or high < 1,
        regression=low > 1 + max_regression_percent / 100,
        max_regression_percent=max_regression_percent,
        notes=_notes(base, new),
    )


def _device(record: Record) -> str:
    device = record.device
    return f"{device.name} ({device.architecture}, {device.cores} cores)"


def _notes(base: Record, new: Record) -> tuple[str, ...]:
    notes = []
    for name, record in (("A", base), ("B", new)):
        if record.verdict is not Verdict.VALID:
            codes = ", ".join(reason.code for reason in record.reasons)
            notes.append(f"{name} is {record.verdict.value}: {codes}")
    facts = (
        ("variant", base.variant, new.variant),
        ("model", base.model.source_sha256[:12], new.model.source_sha256[:12]),
        ("engine", f"{base.engine.name} {base.engine.version}", f"{new.engine.name} {new.engine.version}"),
        ("threads", base.engine.threads, new.engine.threads),
        ("governor", base.environment.before.governors[:1], new.environment.before.governors[:1]),
    )
    notes += [f"{name} differs: {old} and {now}" for name, old, now in facts if old != now]
    return tuple(notes)
