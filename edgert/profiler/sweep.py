"""`edgert profile --sweep`: engines and numbers of threads, each profiled in a fresh worker; the best is stored there.

It never changes the precision: who may take part are the default variant and those of its precision that passed the
accuracy gate, each of which must give the outputs that the bundle holds (as in `edgert run --tune`, which races them
against each other and knows more options, but gives no records).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgert.bundle import Bundle
from edgert.codec import JsonValue, from_plain, to_plain
from edgert.devices import WorkerClient
from edgert.errors import DeviceError, EdgertError, EngineError, UsageError
from edgert.plugins import ProgressReporter, Transport
from edgert.profiler.candidates import Entry, refuse_cpu
from edgert.profiler.crew import Crew
from edgert.profiler.energy.laptop import profile_with_energy
from edgert.profiler.race import Lap, choose
from edgert.profiler.race_table import why_not_raced
from edgert.profiler.record import Record, Verdict
from edgert.profiler.request import ProfileRequest
from edgert.profiler.tuning import load_golden, make_tuned
from edgert.runtime.engines.accelerators import choose_variant
from edgert.runtime.plain_model import is_bundle
from edgert.runtime.settings import Choice

__all__ = ["SweepResult", "SweepRow", "sweep_on"]

Array = NDArray[Any]  # Any: element types are data

_SURVEY = "edgert.profiler.race_worker"
_WORKER = "edgert.profiler.worker"
_THREADS = (2, 4)
"""Beside one thread and all cores."""


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One candidate: its record, or why there is none."""

    name: str
    choice: Choice
    record: Record | None
    left_out: str | None = None


@dataclass(frozen=True, slots=True)
class SweepResult:
    """All rows in the order of measurement, and the best; `stored` is the file in the device's settings."""

    rows: tuple[SweepRow, ...]
    best: SweepRow
    stored: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Field:
    """Who takes part, and what the device said of itself and the model."""

    entries: tuple[Entry, ...]
    facts: dict[str, JsonValue]


def sweep_on(
    transport: Transport, model: Path, inputs: Mapping[str, Array], request: ProfileRequest, progress: ProgressReporter
) -> SweepResult:
    """Profiles every candidate on the device behind `transport` and stores the best in its settings.

    Args:
        transport: to the device.
        model: a bundle or a plain model file.
        inputs: as for a single profile.
        request: what to measure; variant and engine narrow the field, `path` is filled in, layers are left out.
        progress: told what is going on.

    Raises:
        UsageError: threads or engine options are given: they are what is swept, and what --tune knows.
        EngineError: nothing can run the model there; every reason is listed.
        DeviceError: the device is gone.
    """
    if request.threads is not None or request.options:
        raise UsageError("--sweep chooses the threads itself and takes no engine options: leave out both")
    progress("survey", 0, 0)
    field = _survey(transport, model, request)
    golden = load_golden(model, str(field.facts["reference"]))
    rows = []
    with Crew(
        transport, model, golden, request.shapes, request.seed, request.call_limit_s, request.accelerator
    ) as crew:
        for done, entry in enumerate(field.entries):
            progress("profile", done, len(field.entries))
            refusal = crew.vet(entry)
            if refusal is None:
                rows.append(_profile(transport, model, inputs, request, entry))
            else:
                rows.append(SweepRow(entry.name, entry.choice, None, refusal))
    best = _best(model, rows)
    entry = next(entry for entry in field.entries if entry.name == best.name)
    stored, notes = _store(transport, model, field, entry, best)
    return SweepResult(tuple(rows), best, stored, (*notes, *_doubts(best)))


def _survey(transport: Transport, model: Path, request: ProfileRequest) -> _Field:
    with WorkerClient(transport, _SURVEY) as client:
        path = client.put(model)
        facts = client.call("survey", {"path": path}).body
        cores = int(facts["cores"])
        found = list(facts["entries"])
        for threads in _THREADS:
            if threads < cores:
                found += client.call("survey", {"path": path, "threads": threads}).body["entries"]
    entries = [from_plain(Entry, row) for row in found]
    if request.engine is None:
        entries = list(refuse_cpu(entries, request.accelerator))
    default = _default_variant(model, request) or str(facts["reference"])
    wanted = [entry for entry in entries if _takes_part(entry, entries, default, request)]
    if not wanted:
        reasons = sorted({f"{entry.choice.engine}: {entry.refusal}" for entry in entries if entry.refusal})
        raise EngineError(f"{model}: no engine there runs {default!r} ({'; '.join(reasons) or 'none is installed'})")
    ordered = sorted(wanted, key=lambda entry: (entry.choice.variant or "", entry.choice.engine or "", _threads(entry)))
    return _Field(tuple(ordered), facts)


def _default_variant(model: Path, request: ProfileRequest) -> str | None:
    if not is_bundle(model):
        return request.variant
    with Bundle.open(model) as bundle:
        return choose_variant(bundle.manifest, request.variant, request.accelerator).id


def _takes_part(entry: Entry, entries: list[Entry], default: str, request: ProfileRequest) -> bool:
    """The default variant, and unless one was named those of its precision that may win a race without data."""
    if entry.refusal is not None or entry.choice.options or request.engine not in {None, entry.choice.engine}:
        return False
    if request.accelerator is not None and request.engine is None and _threads(entry) > 1:
        return False  # threads say little to an accelerator
    if entry.choice.variant == default:
        return True
    precisions = {other.precision for other in entries if other.choice.variant == default}
    return request.variant is None and entry.precision in precisions and why_not_raced(entry, False) is None


def _threads(entry: Entry) -> int:
    return entry.choice.threads or 0


def _profile(
    transport: Transport, model: Path, inputs: Mapping[str, Array], request: ProfileRequest, entry: Entry
) -> SweepRow:
    choice = entry.choice
    mine = dataclasses.replace(
        request,
        path=transport.put(model),
        variant=choice.variant,
        engine=choice.engine,
        threads=choice.threads,
        layers=False,
        tuned=False,
    )
    try:
        with WorkerClient(transport, _WORKER) as client:
            record, _ = profile_with_energy(client, mine, inputs, mine.call_limit_s)
    except DeviceError:
        raise
    except EdgertError as error:
        return SweepRow(entry.name, choice, None, f"failed: {error}")
    return SweepRow(entry.name, choice, record)


def _best(model: Path, rows: list[SweepRow]) -> SweepRow:
    """Least p50; of those within a hair the p99 is held, then fewer threads win (edgert.profiler.race)."""
    able = {row.name: row.record for row in rows if row.record and row.record.verdict is not Verdict.INVALID}
    if not able:
        reasons = [f"{row.name}: {row.left_out or _codes(row.record)}" for row in rows]
        raise EngineError(f"{model}: the sweep has no record that counts: {'; '.join(reasons)}")
    laps = [
        Lap(name, record.latency.p50_ms, record.latency.p99_ms, record.method.samples, 1, record.engine.threads or 1)
        for name, record in able.items()
    ]
    name = choose(laps).name
    return next(row for row in rows if row.name == name)


def _store(
    transport: Transport, model: Path, field: _Field, entry: Entry, best: SweepRow
) -> tuple[str | None, tuple[str, ...]]:
    assert best.record is not None
    latency = best.record.latency
    tuned = make_tuned(field.facts, transport.put(model), entry, (latency.p50_ms, latency.p99_ms), "profile --sweep")
    with WorkerClient(transport, _SURVEY) as client:
        reply = client.call("store", {"tuned": to_plain(tuned)}).body
    return reply["file"], (f"not stored: {reply['error']}",) if "error" in reply else ()


def _doubts(best: SweepRow) -> tuple[str, ...]:
    record = best.record
    if record is None or record.verdict is Verdict.VALID:
        return ()
    return (f"the best record is {record.verdict.value}: {_codes(record)}",)


def _codes(record: Record | None) -> str:
    return ", ".join(dict.fromkeys(reason.code for reason in record.reasons)) if record else ""
