"""Measures several variants in turns: a short window of each, over and over, all of them in this process.

A computer that others share is slow for seconds at a time and never faster than it is. Windows of one variant that lie
apart meet its undisturbed moments, where one measurement as long as all of them may meet none; and a process is started
once for all. What only a process of its own shows, memory and energy, is not measured.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from edgert.plugins import LayerTime
from edgert.profiler.environment import EnvironmentReader
from edgert.profiler.measure import Plan, Warmup, measure_windows, summarize, wait_until_quiet, warm_up
from edgert.profiler.opened_model import Watch, open_model, prepare, timed
from edgert.profiler.record import EnvironmentSample, MemoryRecord, Method, Record, Stages
from edgert.profiler.request import ProfileRequest
from edgert.profiler.validity import judge
from edgert.profiler.what_ran import begin_record, describe_engine
from edgert.runtime.session import Session

__all__ = ["profile_in_turns"]

_TURNS = 8
_LAYER_RUNS, _LAYER_S = 16, 0.015
_MAX_WARMUP_S = 0.15
_UNMEASURED = "not measured: in turns with others in one process"


def profile_in_turns(requests: Sequence[ProfileRequest]) -> list[Record]:
    """Measures variants in eight turns, and returns the record of each.

    Args:
        requests: what to measure, all of it loaded at once; each runs for about its `duration_s`, on its golden sample
            or random numbers. What they say of energy and of sustained runs does not count.

    Raises:
        EdgertError: a model cannot be loaded or run, or an argument is wrong.
    """
    with ExitStack() as stack:
        lanes = [_open(stack, request) for request in requests]
        for _ in range(_TURNS):
            for lane in lanes:
                lane.take_turn()
        return [lane.record() for lane in lanes]


@dataclasses.dataclass(slots=True)
class _Lane:
    """One variant; loaded twice where its layers are wanted, for recording them slows it down."""

    request: ProfileRequest
    session: Session
    run: Callable[[], object]
    origin: str
    profiled: Session | None
    run_profiled: Callable[[], object] | None
    memory: MemoryRecord
    warmup: Warmup
    watch: Watch
    before: EnvironmentSample
    windows: list[NDArray[np.float64]] = dataclasses.field(default_factory=list)

    def take_turn(self) -> None:
        """A window of its latency, then a few runs that record its layers."""
        plan = Plan(self.request.duration_s / _TURNS, windows=1)
        self.windows += measure_windows(self.run, plan, self.watch.between)
        wait_until_quiet()
        if self.run_profiled is None:
            return
        begun = time.monotonic()
        for _ in range(_LAYER_RUNS):
            self.run_profiled()
            if time.monotonic() - begun > _LAYER_S:
                break
        wait_until_quiet()

    def record(self) -> Record:
        """What was measured of it."""
        layers: tuple[LayerTime, ...] = self.profiled.layer_times() if self.profiled else ()
        facts, variant, manifest = self.session.facts(), self.session.variant, self.session.manifest
        latency = summarize(self.windows)
        runs = sum(window.size for window in self.windows)
        warmup, request = self.warmup, self.request
        method = Method(
            "perf_counter_ns", warmup.runs, warmup.steady, len(self.windows), runs, self.origin, request.seed
        )
        environment = self.watch.reader.record(self.before, self.watch.samples)
        verdict, reasons = judge(environment, method, latency, None)
        return begin_record(
            request,
            manifest,
            variant,
            engine=describe_engine(facts, layers),
            environment=environment,
            method=method,
            latency=latency,
            stages=Stages(None, latency.p50_ms, None, _UNMEASURED),
            memory=self.memory,
            verdict=verdict,
            reasons=reasons,
            layers=layers,
            energy_reason=_UNMEASURED,
            layers_reason=facts.get("no_layer_times"),
        )


def _open(stack: ExitStack, request: ProfileRequest) -> _Lane:
    reader = EnvironmentReader()
    session, load_ms = timed(lambda: stack.enter_context(open_model(request)))
    run, origin = prepare(session, request, {})
    _, first_ms = timed(run)
    warmup = warm_up(run, _MAX_WARMUP_S)
    profiled, run_profiled = None, None
    if request.layers and not session.facts().get("no_layer_times"):
        profiled = stack.enter_context(open_model(request, records_layers=True))
        run_profiled, _ = prepare(profiled, request, {})
    memory = MemoryRecord(load_ms, first_ms, None, None, None)
    return _Lane(request, session, run, origin, profiled, run_profiled, memory, warmup, Watch(reader), reader.sample())
