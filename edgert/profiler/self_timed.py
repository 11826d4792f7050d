"""The record of an engine that times itself (trtexec): its own clock, its own inputs, no outputs, no energy.

Everything else of the record (device, environment, verdict) is as for other engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from edgert.plugins import LayerTime
from edgert.profiler.measure import Plan, summarize
from edgert.profiler.record import Latency, MemoryRecord, Method, Stages
from edgert.runtime.session import Session

__all__ = ["SelfTimed", "measure_self_timed"]

_WARMUP_S = 0.5
_INPUT = "random values of the engine's own"
_NO_STAGES = "an engine that times itself gives no outputs: pre- and post-processing were not measured"


@dataclass(frozen=True, slots=True)
class SelfTimed:
    """What one measurement gave; the fields are those of the record."""

    latency: Latency
    method: Method
    memory: MemoryRecord
    stages: Stages
    layers: tuple[LayerTime, ...]
    energy_reason: str


def measure_self_timed(session: Session, duration_s: float) -> SelfTimed:
    """Returns the figures of an engine that times itself.

    Its memory is not known, since it runs in a process of its own. `load_ms` is all that it took besides the timed runs
    (it builds there), `first_run_ms` the first run after its own warm-up.

    Raises:
        EngineError: the engine failed.
        UsageError: it is one that edgert times.
    """
    start = perf_counter_ns()
    times_ms = session.measure_ms(duration_s, _WARMUP_S)
    spent_ms = (perf_counter_ns() - start) / 1e6
    windows = _windows(times_ms, Plan(duration_s).windows)
    latency = summarize(list(windows))
    name = str(session.facts()["engine"])
    method = Method(name, 0, True, len(windows), int(times_ms.size), _INPUT, 0)
    load_ms = max(0.0, spent_ms - float(times_ms.sum()))
    memory = MemoryRecord(load_ms, float(times_ms[0]), None, None, None)
    layers = session.layer_times()
    reason = f"{name} runs the model in a process of its own, at times that edgert does not know"
    return SelfTimed(latency, method, memory, Stages(None, latency.p50_ms, None, _NO_STAGES), layers, reason)


def _windows(times_ms: NDArray[np.float64], count: int) -> Sequence[NDArray[np.float64]]:
    return [part for part in np.array_split(times_ms, count) if part.size]
