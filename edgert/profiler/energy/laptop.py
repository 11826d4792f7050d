"""`profile` on a device with whatever measures its energy: a sensor there, a meter on this computer, or an estimate.

A meter is read here all the while. The worker says when it idled and when it ran on its own clock, which is set
against ours by round trips; from there on the arithmetic is that of every sensor (edgert.profiler.energy.evaluate).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from edgert.codec import JsonValue, from_plain, to_plain
from edgert.devices.client import WorkerClient
from edgert.errors import ModelError
from edgert.profiler.energy.clock import align_clock, join_alignments
from edgert.profiler.energy.duty import estimate_from_power, is_estimate
from edgert.profiler.energy.evaluate import EnergyOutcome, Intervals, evaluate, no_energy
from edgert.profiler.energy.meters import is_meter, open_meter_sensor
from edgert.profiler.energy.sampler import Sampler
from edgert.profiler.energy.schedule import Schedule, plan_schedule
from edgert.profiler.record import ClockAlignment, Reason, Record, Verdict
from edgert.profiler.request import ProfileRequest

__all__ = ["profile_with_energy"]

_CLOCK_TIMEOUT_S = 60.0

Array = NDArray[Any]  # Any: element types are data


def profile_with_energy(
    worker: WorkerClient, request: ProfileRequest, arrays: Mapping[str, Array], timeout_s: float
) -> tuple[Record, dict[str, JsonValue]]:
    """Returns the record, and the other facts of the worker's reply.

    Raises:
        UsageError: the words of `request.energy` name nothing, or have a wrong setting.
        ModelError: the model crashed the engine.
    """
    if is_estimate(request.energy):
        estimate_from_power(request.energy, 0.0)  # a wrong word is refused before anything runs
        record, facts = _profile(worker, dataclasses.replace(request, energy="none"), arrays, timeout_s)
        energy = estimate_from_power(request.energy, record.latency.mean_ms)
        return dataclasses.replace(record, energy=energy, energy_reason=None), facts
    if is_meter(request.energy):
        return _profile_metered(worker, request, arrays, timeout_s)
    return _profile(worker, request, arrays, timeout_s)


def _profile_metered(
    worker: WorkerClient, request: ProfileRequest, arrays: Mapping[str, Array], timeout_s: float
) -> tuple[Record, dict[str, JsonValue]]:
    meter = open_meter_sensor(request.energy)
    unread = dataclasses.replace(request, energy="none")
    reason = meter.unavailable()
    if reason is not None:
        record, facts = _profile(worker, unread, arrays, timeout_s)
        return dataclasses.replace(record, energy_reason=f"{meter.name}: {reason}"), facts
    before = _align(worker)
    schedule = plan_schedule(meter.rate_hz, request.duration_s, before.error_s)
    if isinstance(schedule, Reason):
        record, facts = _profile(worker, unread, arrays, timeout_s)
        return _with_outcome(record, no_energy(schedule)), facts
    asked = dataclasses.replace(unread, schedule=schedule)
    sampler = Sampler(meter)
    sampler.start()
    try:
        record, facts = _profile(worker, asked, arrays, timeout_s + _duration_s(schedule))
    finally:
        reading = sampler.stop()
    clock = join_alignments(before, _align(worker))
    intervals = _moved(from_plain(Intervals, facts["intervals"]), -clock.offset_s)
    return _with_outcome(record, evaluate(meter, [reading], intervals, clock)), facts


def _profile(
    worker: WorkerClient, request: ProfileRequest, arrays: Mapping[str, Array], timeout_s: float
) -> tuple[Record, dict[str, JsonValue]]:
    reply = worker.call("profile", to_plain(request), arrays, timeout_s=timeout_s, crash=ModelError)
    return from_plain(Record, reply.body["record"]), reply.body


def _align(worker: WorkerClient) -> ClockAlignment:
    def ask() -> float:
        return float(worker.call("clock", timeout_s=_CLOCK_TIMEOUT_S).body["monotonic_s"])

    return align_clock(ask)


def _duration_s(schedule: Schedule) -> float:
    return schedule.windows * schedule.window_s + 2 * schedule.idle_s


def _moved(intervals: Intervals, by_s: float) -> Intervals:
    idle, windows = intervals.idle, intervals.windows
    return Intervals(tuple(one.moved(by_s) for one in idle), tuple(one.moved(by_s) for one in windows))


def _with_outcome(record: Record, outcome: EnergyOutcome) -> Record:
    degraded = bool(outcome.reasons) and record.verdict is Verdict.VALID
    return dataclasses.replace(
        record,
        energy=outcome.record,
        energy_reason=outcome.reason,
        reasons=(*record.reasons, *outcome.reasons),
        verdict=Verdict.DEGRADED if degraded else record.verdict,
    )
