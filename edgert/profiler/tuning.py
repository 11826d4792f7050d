"""`edgert run --tune`: races what can run a model on a device, asks the accuracy gate, stores the winner there."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import edgert
from edgert.bundle import SCHEMA as MANIFEST_SCHEMA
from edgert.bundle import Bundle, Gate, Manifest, Source, Variant
from edgert.codec import JsonValue, from_plain, to_plain
from edgert.devices import WorkerClient
from edgert.errors import EngineError, UsageError
from edgert.plugins import Judgement, ProgressReporter, Transport, load_converter
from edgert.profiler.candidates import Entry, refuse_cpu
from edgert.profiler.crew import Crew, Golden, Member
from edgert.profiler.race import choose, race
from edgert.profiler.race_table import RaceResult, build_notes, build_rows, lap_of, why_not_raced
from edgert.runtime.plain_model import is_bundle
from edgert.runtime.settings import SCHEMA, Tuned

__all__ = ["MIN_SECONDS", "TuneRequest", "load_golden", "make_tuned", "tune_on"]

MIN_SECONDS = 0.5
_FIRST_LOOK_SHARE = 0.25
_BUSY_SHARE = 0.5
_MODULE = "edgert.profiler.race_worker"


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """What to race: `seconds` of measuring time; `threads` None: 1 and all cores; `evaluation`: data for the gate.

    A candidate that does not answer one call within `timeout_s` is left out. With `accelerator`, what the device is
    expected to use besides the CPU, engines that know nothing but the CPU are left out.
    """

    model: Path
    seconds: float = 10.0
    threads: int | None = None
    evaluation: str | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seed: int = 0
    timeout_s: float = 600.0
    accelerator: str | None = None

    def __post_init__(self) -> None:
        if not self.seconds >= MIN_SECONDS:
            raise UsageError(f"--seconds is {self.seconds:g}; a race needs at least {MIN_SECONDS:g}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads is {self.threads}; it must be at least 1")
        if not self.timeout_s > 0:
            raise UsageError(f"--timeout is {self.timeout_s:g}; it must be above 0 seconds")


def tune_on(transport: Transport, request: TuneRequest, progress: ProgressReporter) -> RaceResult:
    """Races all candidates for a model on the device behind `transport` and stores the winner in its settings.

    Raises:
        EngineError: nothing can run the model there, or nothing that runs it passes; every reason is listed.
        InputFileError: the model is damaged.
        MissingExtraError: data for the gate was given and no converter is installed.
    """
    start = time.monotonic()
    progress("survey", 0, 0)
    with WorkerClient(transport, _MODULE) as client:
        survey = client.call("survey", {"path": client.put(request.model), "threads": request.threads}).body
    entries = refuse_cpu([from_plain(Entry, row) for row in survey["entries"]], request.accelerator)
    golden = load_golden(request.model, str(survey["reference"]))
    has_data = request.evaluation is not None
    able = [entry for entry in entries if why_not_raced(entry, has_data) is None]
    shapes, seed, accelerator = request.shapes, request.seed, request.accelerator
    with Crew(transport, request.model, golden, shapes, seed, request.timeout_s, accelerator) as crew:
        measured_s = _measure(crew, able, request, progress)
        if not any(member.refusal is None for member in crew.members):
            raise EngineError(_nobody(request.model, entries, crew.members, has_data))
        winner, judged = _decide(crew, request, golden, progress)
        lap = lap_of(winner)
        rows = build_rows(entries, crew.members, winner, judged, has_data)
        row = next(row for row in rows if row.name == winner.name)
        latencies = lap.p50_ms, lap.p99_ms
        tuned = make_tuned(survey, transport.put(request.model), winner.entry, latencies, row.accuracy)
        reply = crew.reopen(winner).call("store", {"tuned": to_plain(tuned)}).body
    notes = [*_busy(survey), *build_notes(winner, rows, judged)]
    if "error" in reply:
        notes.append(f"not stored: {reply['error']}")
    return RaceResult(rows, row, reply["file"], tuple(notes), measured_s, time.monotonic() - start)


def load_golden(model: Path, reference: str) -> Golden:
    """Returns the golden arrays of a bundle (none of a plain file); `reference` is the id of its float variant."""
    if not is_bundle(model):
        return Golden({}, reference)
    with Bundle.open(model) as bundle:
        return Golden(bundle.golden(), reference)


def make_tuned(
    survey: Mapping[str, JsonValue], path: str, entry: Entry, latencies_ms: tuple[float, float], says: str
) -> Tuned:
    """Returns what is stored of a winner.

    Args:
        survey: the device's answer to `survey`.
        path: of the model on the device.
        entry: the winner.
        latencies_ms: its p50 and p99.
        says: of its accuracy, or where it is from.
    """
    return Tuned(
        schema=SCHEMA,
        model_sha256=str(survey["sha256"]),
        path=path,
        choice=entry.choice,
        engine_version=entry.engine_version,
        cpu=str(survey["cpu"]),
        p50_ms=latencies_ms[0],
        p99_ms=latencies_ms[1],
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        says=says,
    )


def _measure(crew: Crew, able: Sequence[Entry], request: TuneRequest, progress: ProgressReporter) -> float:
    if not able:
        return 0.0
    look_s = _FIRST_LOOK_SHARE * request.seconds / len(able)
    cores = max(entry.choice.threads or 1 for entry in able)
    members = crew.qualify(able, look_s, cores, lambda done, total: progress("load and compare", done, total))
    by_lane = {member.name: member for member in members}
    lanes = [member.lane for member in members if member.lane is not None]
    start = time.monotonic()
    if lanes:
        seconds = request.seconds * (1 - _FIRST_LOOK_SHARE)

        def report(elapsed_s: float, running: int) -> None:
            progress(f"race of {running}", min(int(elapsed_s * 10), int(seconds * 10)), int(seconds * 10))

        race(lanes, seconds, progress=report, left=lambda lane: by_lane[lane.name].free())
    return look_s * len(able) + time.monotonic() - start


def _decide(
    crew: Crew, request: TuneRequest, golden: Golden, progress: ProgressReporter
) -> tuple[Member, Mapping[str, Judgement]]:
    """Returns the fastest that passes, of those that stayed to the end or else of the others; and all judgements."""
    judged: dict[str, Judgement] = {}
    while able := {member.name: member for member in crew.members if member.lane and member.refusal is None}:
        stayed = [member for member in able.values() if member.lane is not None and member.lane.left is None]
        best = able[choose([lap_of(member) for member in stayed or able.values()]).name]
        if request.evaluation is None:
            return best, judged
        judgement = _judge(crew, best, request, golden, progress)
        judged[best.name] = judgement
        if judgement.gate is not Gate.FAILED:
            return best, judged
        best.refusal = f"the accuracy gate failed as it runs here: {judgement.sentence}"
    reasons = "; ".join(f"{member.name}: {member.refusal}" for member in crew.members)
    raise EngineError(f"{request.model}: nothing that runs it here passes: {reasons}")


def _judge(crew: Crew, member: Member, request: TuneRequest, golden: Golden, progress: ProgressReporter) -> Judgement:
    """Runs the paired test of the converter: candidate against float reference, both on the device."""
    client = crew.reopen(member)
    with crew.open_reference() as reference:
        return load_converter().judge(
            _manifest(request.model, member, golden.reference),
            _report(request.model),
            str(request.evaluation),
            reference.run,
            client.run,
            progress,
        )


def _manifest(model: Path, member: Member, variant: str) -> Manifest:
    if is_bundle(model):
        with Bundle.open(model) as bundle:
            return bundle.manifest
    blank = Variant(variant, model.suffix.lstrip("."), "as-is", model.name, *member.inputs, (), 0)
    source = Source(model.name, blank.format, "")
    return Manifest(MANIFEST_SCHEMA, model.stem, edgert.__version__, source, *member.inputs, (blank,), blank.id)


def _report(model: Path) -> JsonValue:
    if not is_bundle(model):
        return {}
    with Bundle.open(model) as bundle:
        return bundle.report()


def _busy(survey: Mapping[str, JsonValue]) -> list[str]:
    load, cores = float(survey["load_average"]), int(survey["cores"])
    if load <= _BUSY_SHARE * cores:
        return []
    return [f"the device was busy before the race (load average {load:.1f}, {cores} cores): race again when it is idle"]


def _nobody(model: Path, entries: Sequence[Entry], members: Sequence[Member], has_data: bool) -> str:
    reasons = [f"{entry.name}: {reason}" for entry in entries if (reason := why_not_raced(entry, has_data))]
    reasons += [f"{member.name}: {member.refusal}" for member in members]
    return f"{model}: no engine here runs it and gives its outputs: {'; '.join(reasons)}"
