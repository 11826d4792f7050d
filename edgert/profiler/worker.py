"""The worker with one more pair of calls, environment and profile: `python -m edgert.profiler.worker`.

Everything of a record is measured here, in a process that did nothing else, on the device itself.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgert.bundle import Bundle
from edgert.codec import JsonValue, from_plain, to_plain
from edgert.plugins import LayerTime
from edgert.profiler.device_facts import read_device
from edgert.profiler.energy import choose_sensor, sensor_reasons
from edgert.profiler.energy.measurement import open_measurement
from edgert.profiler.energy.schedule import Schedule
from edgert.profiler.environment import EnvironmentReader, read_memory_bytes
from edgert.profiler.measure import Plan, measure_sustained, measure_windows, summarize, warm_up
from edgert.profiler.model_input import choose_input
from edgert.profiler.record import (
    SCHEMA,
    EnvironmentSample,
    MemoryRecord,
    Method,
    Record,
    Verdict,
)
from edgert.profiler.self_timed import measure_self_timed
from edgert.profiler.stages import measure_stages
from edgert.profiler.validity import judge
from edgert.profiler.what_ran import describe_engine, describe_model
from edgert.runtime.engines import TIMES_ONLY
from edgert.runtime.memory import return_freed_memory
from edgert.runtime.plain_model import is_bundle
from edgert.runtime.session import Session, load, load_profiled
from edgert.runtime.wire import Message
from edgert.runtime.worker import SessionHandlers, serve_stdio

__all__ = ["ProfileRequest", "main", "profile_here"]

Array = NDArray[Any]  # Any: element types are data

_CALL_MARGIN_S = 600.0
_LAYER_RUNS, _MOST_LAYER_RUNS = 40, 200
_LAYER_ENOUGH_S, _LAYER_LIMIT_S = 0.15, 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class ProfileRequest:
    """What to measure and for how long.

    `created` is the laptop's time, since a board may not know it; `target` what the laptop calls such boards, and
    `accelerator` what such boards are expected to use.
    """

    path: str
    created: str
    variant: str | None = None
    threads: int | None = None
    engine: str | None = None
    options: dict[str, str] = dataclasses.field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    duration_s: float = 3.0
    sustained_s: float = 0.0
    energy: str = "auto"
    layers: bool = True
    seed: int = 0
    tuned: bool = True
    schedule: Schedule | None = None
    target: str | None = None
    accelerator: str | None = None

    @property
    def call_limit_s(self) -> float:
        """How long the laptop waits for the record: on slow boards loading and the intervals take minutes."""
        return 10 * self.duration_s + self.sustained_s + _CALL_MARGIN_S


@dataclasses.dataclass(slots=True)
class _Watch:
    """Collects environment samples between the windows of one measurement."""

    reader: EnvironmentReader
    samples: list[EnvironmentSample] = dataclasses.field(default_factory=list)

    def between(self, _: int) -> None:
        self.samples.append(self.reader.sample())


def profile_here(request: ProfileRequest, arrays: Mapping[str, Array]) -> Record:
    """Measures one variant in this process and returns the record.

    Raises:
        EdgertError: the model cannot be loaded or run, or an argument is wrong.
    """
    return _measure(request, arrays)[0]


def _measure(request: ProfileRequest, arrays: Mapping[str, Array]) -> tuple[Record, dict[str, JsonValue]]:
    """The record; and `tuned`, the session's fact about a tuned choice, `intervals`, when it idled and when it ran."""
    if request.engine in TIMES_ONLY:
        return _self_timed_record(request), {"tuned": None, "intervals": []}
    energy = open_measurement(choose_sensor(request.energy), request.duration_s, request.schedule)
    reader = EnvironmentReader()
    reader.sample()
    energy.measure_idle()
    before = reader.sample()
    rss_before = read_memory_bytes("VmRSS")
    session, load_ms = _timed(lambda: _load(request))
    return_freed_memory()
    with session:
        run, method_input = _prepare(session, request, arrays)
        _, first_ms = _timed(run)
        rss_after = read_memory_bytes("VmRSS")
        plan = Plan(request.duration_s)
        warmup = warm_up(run, plan.max_warmup_s)
        watch = _Watch(reader)
        windows = measure_windows(run, plan, watch.between)
        sustained = measure_sustained(run, request.sustained_s) if request.sustained_s else None
        environment = reader.record(before, watch.samples)
        memory = MemoryRecord(load_ms, first_ms, rss_before, rss_after, read_memory_bytes("VmHWM"))
        spent = energy.measure_runs(run)
        stages = measure_stages(session, run, arrays, request.seed)
        facts, variant, manifest = session.facts(), session.variant, session.manifest
    no_layers, latency = facts.get("no_layer_times"), summarize(windows)
    layers = _layers(request, arrays) if request.layers and not no_layers else ()
    samples = sum(window.size for window in windows)
    method = Method("perf_counter_ns", warmup.runs, warmup.steady, len(windows), samples, method_input, request.seed)
    verdict, reasons = judge(environment, method, latency, sustained)
    if spent.reasons and verdict is Verdict.VALID:
        verdict = Verdict.DEGRADED
    record = Record(
        schema=SCHEMA,
        created=request.created,
        source="measured",
        model=describe_model(request.path, manifest.name, manifest.source.sha256, variant),
        variant=variant.id,
        device=read_device(target=request.target),
        engine=describe_engine(facts, layers),
        environment=environment,
        method=method,
        latency=latency,
        stages=dataclasses.replace(stages, inference_ms=latency.p50_ms),
        memory=memory,
        verdict=verdict,
        reasons=(*reasons, *spent.reasons),
        layers=layers,
        energy=spent.record,
        energy_reason=spent.reason,
        sustained=sustained,
        layers_reason=no_layers,
    )
    return record, {"tuned": facts.get("tuned"), "intervals": to_plain(energy.intervals)}


def _self_timed_record(request: ProfileRequest) -> Record:
    reader = EnvironmentReader()
    reader.sample()
    before = reader.sample()
    with _load(request) as session:
        own = measure_self_timed(session, request.duration_s)
        facts, variant, manifest = session.facts(), session.variant, session.manifest
    environment = reader.record(before, [reader.sample()])
    verdict, reasons = judge(environment, own.method, own.latency)
    return Record(
        schema=SCHEMA,
        created=request.created,
        source="measured",
        model=describe_model(request.path, manifest.name, manifest.source.sha256, variant),
        variant=variant.id,
        device=read_device(target=request.target),
        engine=describe_engine(facts, own.layers),
        environment=environment,
        method=own.method,
        latency=own.latency,
        stages=own.stages,
        memory=own.memory,
        verdict=verdict,
        reasons=reasons,
        layers=own.layers if request.layers else (),
        energy_reason=own.energy_reason,
    )


class ProfilerHandlers(SessionHandlers):
    """A worker's calls, and three more."""

    def table(self) -> dict[str, Callable[[Message], Message]]:
        """The calls this object answers."""
        more = {"environment": self.environment, "profile": self.profile, "clock": self.clock}
        return {**SessionHandlers.table(self), **more}

    def environment(self, _: Message) -> Message:
        """Returns the device and its state now."""
        return Message(
            {
                "device": to_plain(read_device()),
                "sample": to_plain(EnvironmentReader().sample()),
                "sensors": sensor_reasons(),
            }
        )

    def clock(self, _: Message) -> Message:
        """Returns the time of this device on the clock that all intervals are on."""
        return Message({"monotonic_s": time.monotonic()})

    def profile(self, request: Message) -> Message:
        """Returns a record; the arrays of the request are the model's inputs, or an image under `image`."""
        wanted = from_plain(ProfileRequest, request.body)
        record, more = _measure(wanted, request.arrays)
        return Message({"record": to_plain(record), **more})


def main() -> int:
    """Runs the worker."""
    return serve_stdio(ProfilerHandlers().table())


def _load(request: ProfileRequest) -> Session:
    return load(
        request.path,
        variant=request.variant,
        threads=request.threads,
        engine=request.engine,
        options=request.options,
        tuned=request.tuned,
        accelerator=request.accelerator,
    )


def _prepare(
    session: Session, request: ProfileRequest, arrays: Mapping[str, Array]
) -> tuple[Callable[[], object], str]:
    given = _given(session, arrays)
    inputs, origin = choose_input(session, given, _golden(Path(request.path)), request.shapes, request.seed)
    feed: Any = next(iter(inputs.values())) if len(inputs) == 1 else inputs  # Any: either form of Session.run
    return lambda: session.run(feed), origin


def _given(session: Session, arrays: Mapping[str, Array]) -> dict[str, Array]:
    names = [spec.name for spec in session.inputs]
    if "image" in arrays and "image" not in names:
        prepared, _ = session.preprocess(arrays["image"])
        return {names[0]: prepared}
    if len(names) == 1 and len(arrays) == 1:
        return {names[0]: next(iter(arrays.values()))}
    return {name: array for name, array in arrays.items() if name in names}


def _golden(path: Path) -> dict[str, Array]:
    if not is_bundle(path):
        return {}
    with Bundle.open(path) as bundle:
        return bundle.golden()


def _layers(request: ProfileRequest, arrays: Mapping[str, Array]) -> tuple[LayerTime, ...]:
    """A run of its own: recording the layers slows them down, so these never mix with the latency."""
    choice = request.variant, request.threads, request.engine, request.options
    with load_profiled(request.path, *choice, tuned=request.tuned, accelerator=request.accelerator) as session:
        run, _ = _prepare(session, request, arrays)
        begun = time.monotonic()
        for number in range(1, _MOST_LAYER_RUNS + 1):
            run()
            if time.monotonic() - begun > (_LAYER_LIMIT_S if number < _LAYER_RUNS else _LAYER_ENOUGH_S):
                break
        return session.layer_times()


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter_ns()
    result = function()
    return result, (time.perf_counter_ns() - start) / 1e6


if __name__ == "__main__":
    raise SystemExit(main())
