"""Compares profile records: how much slower or faster, how sure that is, and whether it is a regression.

Records of microcontrollers count instructions or cycles, which repeat: their ratio needs no interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgert.errors import UsageError
from edgert.profiler.board_record import BoardRecord
from edgert.profiler.record import DeviceFacts, Record, Verdict
from edgert.profiler.record_files import AnyRecord, LoadedRecord
from edgert.profiler.statistics import cliffs_delta, ratio_interval

__all__ = ["BoardComparison", "Comparison", "Pair", "compare_any", "compare_boards", "compare_records", "pair_records"]


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


@dataclass(frozen=True, slots=True)
class BoardComparison:
    """`ratio` is the new count over the base's; above 1 is more. `unit` is `instructions` or `cycles`."""

    unit: str
    base_count: int
    new_count: int
    ratio: float
    base_ram_bytes: int
    new_ram_bytes: int
    base_flash_bytes: int
    new_flash_bytes: int
    regression: bool
    max_regression_percent: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two records of the same thing."""

    base: LoadedRecord
    new: LoadedRecord


def compare_any(
    base: AnyRecord, new: AnyRecord, *, max_regression_percent: float = 5.0, across_devices: bool = False
) -> Comparison | BoardComparison:
    """Compares two records of the same kind; see `compare_records` and `compare_boards`.

    Raises:
        UsageError: one holds time and the other counts, or as those two say.
    """
    if isinstance(base, Record) and isinstance(new, Record):
        return compare_records(base, new, max_regression_percent=max_regression_percent, across_devices=across_devices)
    if isinstance(base, BoardRecord) and isinstance(new, BoardRecord):
        return compare_boards(base, new, max_regression_percent=max_regression_percent, across_devices=across_devices)
    raise UsageError(f"A holds {_unit(base)} and B {_unit(new)}; they cannot be compared")


def pair_records(
    base: Sequence[LoadedRecord], new: Sequence[LoadedRecord], *, across_devices: bool = False
) -> tuple[tuple[Pair, ...], tuple[LoadedRecord, ...]]:
    """Returns pairs of the newest records of the same model, variant, engine, threads and device; and the others.

    One record on each side is a pair in any case. The others are those without a partner, not those that are older.
    """
    if len(base) == len(new) == 1:
        return (Pair(base[0], new[0]),), ()
    olds, nows = (_newest(records, across_devices) for records in (base, new))
    pairs = tuple(Pair(olds[key], nows[key]) for key in olds if key in nows)
    alone = [*(olds[key] for key in olds if key not in nows), *(nows[key] for key in nows if key not in olds)]
    return pairs, tuple(alone)


def compare_boards(
    base: BoardRecord, new: BoardRecord, *, max_regression_percent: float = 5.0, across_devices: bool = False
) -> BoardComparison:
    """Compares the counts of two records of microcontrollers.

    Raises:
        UsageError: one counts instructions and the other cycles, they are from different devices and `across_devices`
            is not set, or the limit is negative.
    """
    _check(base.device, new.device, max_regression_percent, across_devices)
    if _unit(base) != _unit(new):
        raise UsageError(f"A holds {_unit(base)} and B {_unit(new)}; they cannot be compared")
    ratio = new.count / base.count
    return BoardComparison(
        unit=_unit(base),
        base_count=base.count,
        new_count=new.count,
        ratio=ratio,
        base_ram_bytes=base.ram_bytes.total,
        new_ram_bytes=new.ram_bytes.total,
        base_flash_bytes=base.flash_bytes.code + base.flash_bytes.weights,
        new_flash_bytes=new.flash_bytes.code + new.flash_bytes.weights,
        regression=ratio > 1 + max_regression_percent / 100,
        max_regression_percent=max_regression_percent,
        notes=tuple(_differences(_shared_facts(base, new))),
    )


def compare_records(
    base: Record, new: Record, *, max_regression_percent: float = 5.0, across_devices: bool = False
) -> Comparison:
    """Compares the latency of two records.

    The interval resamples windows and runs within each record. It does not hold what differs between two processes
    (memory layout, for example): repeat the records to see that.

    Raises:
        UsageError: the records are from different devices and `across_devices` is not set, or the limit is negative.
    """
    _check(base.device, new.device, max_regression_percent, across_devices)
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


def _check(base: DeviceFacts, new: DeviceFacts, max_regression_percent: float, across_devices: bool) -> None:
    if max_regression_percent < 0:
        raise UsageError(f"max_regression is {max_regression_percent:g} %; it must be 0 or more")
    if base.identity() != new.identity() and not across_devices:
        raise UsageError(
            f"the records are from different devices: {_device(base)} and {_device(new)}; "
            "compare them all the same with --across-devices"
        )


def _device(device: DeviceFacts) -> str:
    return f"{device.name} ({device.architecture}, {device.cores} cores)"


def _unit(record: AnyRecord) -> str:
    if isinstance(record, Record):
        return "time"
    return "cycles" if record.instructions is None else "instructions"


def _newest(records: Sequence[LoadedRecord], across_devices: bool) -> dict[tuple[object, ...], LoadedRecord]:
    found: dict[tuple[object, ...], LoadedRecord] = {}
    for loaded in sorted(records, key=lambda loaded: (loaded.record.created, str(loaded.path))):
        record = loaded.record
        device = () if across_devices else record.device.identity()
        engine = record.engine
        found[(_unit(record), record.model.source_sha256, record.variant, engine.name, engine.threads, device)] = loaded
    return found


def _notes(base: Record, new: Record) -> tuple[str, ...]:
    notes = []
    for name, record in (("A", base), ("B", new)):
        if record.verdict is not Verdict.VALID:
            codes = ", ".join(dict.fromkeys(reason.code for reason in record.reasons))
            notes.append(f"{name} is {record.verdict.value}: {codes}")
    facts = (
        *_shared_facts(base, new),
        ("threads", base.engine.threads, new.engine.threads),
        ("governor", base.environment.before.governors[:1], new.environment.before.governors[:1]),
        ("power mode", base.environment.power_mode, new.environment.power_mode),
    )
    return (*notes, *_differences(facts))


def _shared_facts(base: AnyRecord, new: AnyRecord) -> tuple[tuple[str, object, object], ...]:
    return (
        ("variant", base.variant, new.variant),
        ("model", base.model.source_sha256[:12], new.model.source_sha256[:12]),
        ("engine", f"{base.engine.name} {base.engine.version}", f"{new.engine.name} {new.engine.version}"),
    )


def _differences(facts: Sequence[tuple[str, object, object]]) -> list[str]:
    return [f"{name} differs: {old} and {now}" for name, old, now in facts if old != now]
