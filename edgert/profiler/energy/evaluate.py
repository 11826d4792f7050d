"""Turns a sensor's readings and the intervals in which a model ran into energy per inference, or says why it cannot.

The same for every sensor, and for a meter on the laptop beside a model on a board: there the board's intervals are
moved to the laptop's clock before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edgert.plugins import EnergySensor, SensorFault, SensorReading
from edgert.profiler.energy.curve import EnergyCurve, build_curve
from edgert.profiler.energy.interval import Stretch, estimate_energy
from edgert.profiler.energy.schedule import MIN_SAMPLES, MIN_WINDOWS
from edgert.profiler.record import ClockAlignment, EnergyRecord, Reason

__all__ = ["EnergyOutcome", "Interval", "Intervals", "evaluate", "no_energy"]

MAX_FAULT_SHARE = 0.05
MAX_IDLE_DRIFT = 0.10
MAX_CLOCK_SHARE = 0.02
MAX_PACE_RATIO = 1.1
_GAP_PERIODS = 5.0
_GAP_SHARE = 0.1
_IDLE_STRETCHES = 8
_IDLE_STRETCH_SAMPLES = 3
_FATAL = frozenset({"counter-wrap"})


@dataclass(frozen=True, slots=True)
class Interval:
    """From one moment to another on `time.monotonic` of the device, and the inferences in it (0: idle)."""

    start_s: float
    stop_s: float
    runs: int = 0

    def moved(self, by_s: float) -> Interval:
        """The same on a clock that is ahead by `by_s`."""
        return Interval(self.start_s + by_s, self.stop_s + by_s, self.runs)


@dataclass(frozen=True, slots=True)
class Intervals:
    """The idle baseline before and after, and the windows in which the model ran."""

    idle: tuple[Interval, ...]
    windows: tuple[Interval, ...]


_Covered: TypeAlias = "list[tuple[EnergyCurve, Interval]]"


@dataclass(frozen=True, slots=True)
class EnergyOutcome:
    """A record, or None and a `reason`; `reasons` are the codes, for the record of the whole measurement too."""

    record: EnergyRecord | None
    reason: str | None
    reasons: tuple[Reason, ...] = ()


def no_energy(*reasons: Reason) -> EnergyOutcome:
    """Energy could not be measured, for these reasons."""
    return EnergyOutcome(None, "; ".join(f"{reason.code}: {reason.text}" for reason in reasons), reasons)


def evaluate(
    sensor: EnergySensor,
    readings: Sequence[SensorReading],
    intervals: Intervals,
    clock: ClockAlignment | None = None,
) -> EnergyOutcome:
    """Returns the energy per inference.

    Args:
        sensor: what gave the readings.
        readings: one for each stretch of sampling; every interval lies within one of them.
        intervals: on the clock of the readings.
        clock: how they came there, where they are from another computer.
    """
    built = [build_curve(reading, sensor.kind, sensor.limit_mw) for reading in readings]
    curves = [curve for curve, _ in built]
    faults = [fault for reading in readings for fault in reading.faults]
    faults += [fault for _, found in built for fault in found]
    usable, missing = _usable(curves, intervals.windows, sensor)
    idle, idle_missing = _usable(curves, intervals.idle, sensor)
    reasons = _reasons(faults, [*missing, *idle_missing])
    samples = sum(curve.time_s.size for curve in curves)
    share = len(faults) / max(len(faults) + samples, 1)
    enough = len(usable) >= min(MIN_WINDOWS, len(intervals.windows)) and bool(idle)
    if not enough or share > MAX_FAULT_SHARE or any(fault.code in _FATAL for fault in faults):
        return no_energy(*(reasons or (Reason("sensor-stopped", f"{sensor.name} gave no samples"),)))
    reasons += _doubts(curves, idle, clock, intervals)
    return EnergyOutcome(_record(sensor, usable, idle, reasons, clock), None, reasons)


def _record(
    sensor: EnergySensor, windows: _Covered, idle: _Covered, reasons: tuple[Reason, ...], clock: ClockAlignment | None
) -> EnergyRecord:
    spent = [
        Stretch(curve.energy_between_mj(*_ends(one)), one.stop_s - one.start_s, one.runs) for curve, one in windows
    ]
    estimate = estimate_energy(spent, _idle_stretches(idle), sensor.relative_accuracy)
    return EnergyRecord(
        sensor=sensor.name,
        rails=sensor.rails,
        rate_hz=sensor.rate_hz,
        accuracy=sensor.accuracy,
        leaves_out=sensor.leaves_out,
        idle_mw=estimate.idle_mw,
        gross_mj=estimate.gross_mj,
        net_mj=estimate.net_mj,
        net_ci95_mj=estimate.net_ci95_mj,
        gross_ci95_mj=estimate.gross_ci95_mj,
        relative_accuracy=sensor.relative_accuracy,
        sensor_source=sensor.source,
        windows=len(windows),
        samples=sum(curve.count(*_ends(one)) for curve, one in windows),
        reasons=reasons,
        clock=clock,
    )


def _ends(interval: Interval) -> tuple[float, float]:
    return interval.start_s, interval.stop_s


def _usable(
    curves: list[EnergyCurve], intervals: Sequence[Interval], sensor: EnergySensor
) -> tuple[_Covered, list[SensorFault]]:
    """The intervals with enough samples, and why each of the others is left out."""
    usable, missing = [], []
    for interval in intervals:
        curve = next((curve for curve in curves if curve.covers(*_ends(interval))), None)
        fault = _fault(curve, interval, sensor)
        if curve is None or fault is not None:
            missing.append(fault or SensorFault("sensor-stopped", ""))
        else:
            usable.append((curve, interval))
    return usable, missing


def _fault(curve: EnergyCurve | None, interval: Interval, sensor: EnergySensor) -> SensorFault | None:
    if curve is None:
        return SensorFault("sensor-stopped", f"{sensor.name} gave no samples around a window or idle interval")
    length_s = interval.stop_s - interval.start_s
    count, gap_s = curve.count(*_ends(interval)), curve.longest_gap_s(*_ends(interval))
    if gap_s > max(_GAP_PERIODS * curve.period_s(), _GAP_SHARE * length_s) and gap_s > curve.period_s() * 2:
        return SensorFault("sensor-stopped", f"{sensor.name} gave nothing for {gap_s:.3g} s within {length_s:.3g} s")
    if count < MIN_SAMPLES:
        text = f"{sensor.name} gave {count} samples in {length_s:.3g} s; at least {MIN_SAMPLES} are needed"
        return SensorFault("sensor-too-slow", text)
    return None


def _reasons(faults: Sequence[SensorFault], missing: Sequence[SensorFault]) -> tuple[Reason, ...]:
    """One reason for each code, with its first sentence and how often it came."""
    grouped: dict[str, list[str]] = {}
    for fault in (*faults, *missing):
        grouped.setdefault(fault.code, []).append(fault.text)
    return tuple(
        Reason(code, texts[0] if len(texts) == 1 else f"{texts[0]} (and {len(texts) - 1} more)")
        for code, texts in grouped.items()
    )


def _doubts(
    curves: Sequence[EnergyCurve],
    idle: _Covered,
    clock: ClockAlignment | None,
    intervals: Intervals,
) -> tuple[Reason, ...]:
    """What makes a figure doubtful that could be measured."""
    found = []
    powers = [curve.energy_between_mj(*_ends(one)) / (one.stop_s - one.start_s) for curve, one in idle]
    if max(powers) - min(powers) > MAX_IDLE_DRIFT * float(np.mean(powers)):
        text = f"idle power was between {min(powers):.4g} and {max(powers):.4g} mW before and after the runs"
        found.append(Reason("idle-drift", text))
    paces_ms = [1000 * (one.stop_s - one.start_s) / one.runs for one in intervals.windows]
    if max(paces_ms) > MAX_PACE_RATIO * min(paces_ms):
        text = f"a run took {min(paces_ms):.4g} ms in one window and {max(paces_ms):.4g} ms in another"
        found.append(Reason("runs-unsteady", f"{text}: throttling, or other work"))
    shown = [np.diff(curve.energy_mj) if curve.power_mw is None else curve.power_mw for curve in curves]
    if np.ptp(np.concatenate(shown)) == 0:
        found.append(Reason("sensor-stuck", "every sample was the same, at rest and at work"))
    shortest_s = min(one.stop_s - one.start_s for one in intervals.windows)
    if clock is not None and clock.error_s > MAX_CLOCK_SHARE * shortest_s:
        text = (
            f"the clocks of board and meter agree to {clock.error_s * 1000:.3g} ms only; windows are {shortest_s:.3g} s"
        )
        found.append(Reason("clock-uncertain", text))
    return tuple(found)


def _idle_stretches(idle: _Covered) -> list[Stretch]:
    """The idle intervals cut into a few stretches each, so that their spread shows."""
    stretches = []
    for curve, interval in idle:
        pieces = min(max(curve.count(*_ends(interval)) // _IDLE_STRETCH_SAMPLES, 2), _IDLE_STRETCHES)
        edges = np.linspace(interval.start_s, interval.stop_s, pieces + 1).tolist()
        stretches += [
            Stretch(curve.energy_between_mj(start_s, stop_s), stop_s - start_s)
            for start_s, stop_s in zip(edges, edges[1:], strict=False)
        ]
    return stretches
