"""The worker that also measures: `python -m edgert.profiler.worker`.

Everything of a record is measured here, in a process that did nothing else, on the device itself.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from edgert.codec import JsonValue, from_plain, to_plain
from edgert.plugins import LayerTime
from edgert.profiler.device_facts import read_device
from edgert.profiler.energy import choose_sensor, sensor_reasons
from edgert.profiler.energy.measurement import open_measurement
from edgert.profiler.environment import EnvironmentReader, read_memory_bytes
from edgert.profiler.measure import Plan, measure_sustained, measure_windows, summarize, warm_up
from edgert.profiler.opened_model import Watch, open_model, prepare, timed
from edgert.profiler.record import MemoryRecord, Method, Record, Verdict
from edgert.profiler.request import ProfileRequest
from edgert.profiler.self_timed import measure_self_timed
from edgert.profiler.stages import measure_stages
from edgert.profiler.turns import profile_in_turns
from edgert.profiler.validity import judge
from edgert.profiler.what_ran import begin_record, describe_engine
from edgert.runtime.engines import TIMES_ONLY
from edgert.runtime.memory import return_freed_memory
from edgert.runtime.wire import Message
from edgert.runtime.worker import SessionHandlers, serve_stdio

__all__ = ["main", "profile_here"]

Array = NDArray[Any]  # Any: element types are data

_LAYER_RUNS, _MOST_LAYER_RUNS = 40, 200
_LAYER_ENOUGH_S, _LAYER_LIMIT_S = 0.15, 5.0


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
    session, load_ms = timed(lambda: open_model(request))
    return_freed_memory()
    with session:
        run, method_input = prepare(session, request, arrays)
        _, first_ms = timed(run)
        rss_after = read_memory_bytes("VmRSS")
        plan = Plan(request.duration_s)
        warmup = warm_up(run, plan.max_warmup_s)
        watch = Watch(reader)
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
    record = begin_record(
        request,
        manifest,
        variant,
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
    with open_model(request) as session:
        own = measure_self_timed(session, request.duration_s)
        facts, variant, manifest = session.facts(), session.variant, session.manifest
    environment = reader.record(before, [reader.sample()])
    verdict, reasons = judge(environment, own.method, own.latency)
    return begin_record(
        request,
        manifest,
        variant,
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
    """A worker's calls, and four more."""

    def table(self) -> dict[str, Callable[[Message], Message]]:
        """The calls this object answers."""
        more = {"environment": self.environment, "profile": self.profile, "clock": self.clock}
        return {**SessionHandlers.table(self), **more, "profile_in_turns": self.profile_in_turns}

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

    def profile_in_turns(self, request: Message) -> Message:
        """Returns the records of several requests."""
        wanted = [from_plain(ProfileRequest, plain) for plain in request.body["requests"]]
        return Message({"records": [to_plain(record) for record in profile_in_turns(wanted)]})


def main() -> int:
    """Runs the worker."""
    return serve_stdio(ProfilerHandlers().table())


def _layers(request: ProfileRequest, arrays: Mapping[str, Array]) -> tuple[LayerTime, ...]:
    """A run of its own: recording the layers slows them down, so these never mix with the latency."""
    with open_model(request, records_layers=True) as session:
        run, _ = prepare(session, request, arrays)
        begun = time.monotonic()
        for number in range(1, _MOST_LAYER_RUNS + 1):
            run()
            if time.monotonic() - begun > (_LAYER_LIMIT_S if number < _LAYER_RUNS else _LAYER_ENOUGH_S):
                break
        return session.layer_times()


if __name__ == "__main__":
    raise SystemExit(main())
