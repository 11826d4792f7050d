"""The arithmetic of energy: integration, cleaning, intervals, and each fault with its code."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgert.plugins import SensorFault, SensorKind, SensorReading
from edgert.profiler.energy.arrival import arrival_times
from edgert.profiler.energy.curve import build_curve
from edgert.profiler.energy.evaluate import EnergyOutcome, Intervals, evaluate
from edgert.profiler.energy.interval import Stretch, estimate_energy
from edgert.profiler.energy.schedule import MIN_SAMPLES, Schedule, plan_schedule
from edgert.profiler.record import ClockAlignment, Reason
from tests.energy_example import (
    BUSY_MW,
    GROSS_MJ,
    IDLE_MW,
    INTERVALS,
    NET_MJ,
    RUNS,
    SCENES,
    TIMES,
    Curve,
    Scene,
    Script,
    coverage,
    reading,
)


def power_at(times: np.ndarray) -> np.ndarray:
    """At work between 2.75 s and 13.25 s."""
    return np.where((times > 2.75) & (times < 13.25), BUSY_MW, IDLE_MW) + 0.01 * np.sin(100 * times)


def measured(given: SensorReading, sensor: Script | None = None, intervals: Intervals = INTERVALS) -> EnergyOutcome:
    return evaluate(sensor or Script(), [given], intervals)


def codes(outcome: EnergyOutcome) -> set[str]:
    return {reason.code for reason in outcome.reasons}


# integration


@pytest.mark.parametrize("rate_hz", [5.0, 20.0, 97.3])
def test_a_window_that_begins_and_ends_between_samples(rate_hz: float) -> None:
    script = Curve()
    times = np.arange(0, 10, 1 / rate_hz)
    curve, faults = build_curve(reading(times, [script.power_mw(t) for t in times]), SensorKind.POLLED, 1e6)
    assert not faults
    for start_s, stop_s in ((1.234, 2.345), (0.011, 9.7), (3.33, 5.01)):
        truth = script.energy_mj(start_s, stop_s)
        assert curve.energy_between_mj(start_s, stop_s) == pytest.approx(truth, rel=0.01)


@given(st.lists(st.floats(0, 1e4), min_size=3, max_size=30), st.data())
def test_straight_lines_are_integrated_exactly(powers: list[float], data: st.DataObject) -> None:
    curve, _ = build_curve(reading(np.arange(len(powers), dtype=float), powers), SensorKind.POLLED, 1e5)
    start_s = data.draw(st.floats(0, len(powers) - 1.5))
    stop_s = data.draw(st.floats(start_s, len(powers) - 1))
    fine = np.unique(np.concatenate([np.linspace(start_s, stop_s, 50), np.arange(len(powers)), [start_s, stop_s]]))
    fine = fine[(fine >= start_s) & (fine <= stop_s)]
    power = np.interp(fine, np.arange(len(powers)), powers)
    exact = float(np.sum(np.diff(fine) * (power[1:] + power[:-1]) / 2))
    assert curve.energy_between_mj(start_s, stop_s) == pytest.approx(exact, rel=1e-9, abs=1e-6)


def test_rails_are_added_and_a_counter_is_differenced() -> None:
    rails = SensorReading(np.array([0.0, 1.0, 2.0]), np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]))
    curve, _ = build_curve(rails, SensorKind.POLLED, 10.0)
    assert curve.energy_between_mj(0.5, 1.5) == pytest.approx(3.0)
    counter, faults = build_curve(reading([0.0, 1.0, 3.0], [100.0, 104.0, 110.0]), SensorKind.COUNTER, 10.0)
    assert (counter.energy_between_mj(0.0, 3.0), counter.energy_between_mj(0.5, 2.0)) == (10.0, 5.0)
    assert not faults


def test_times_of_samples_that_came_together() -> None:
    assert arrival_times(None, 10.0, 3, 0.5).tolist() == [9.0, 9.5, 10.0]
    assert arrival_times(9.0, 10.0, 4, 0.5).tolist() == [9.25, 9.5, 9.75, 10.0]
    assert arrival_times(2.0, 10.0, 2, 0.5).tolist() == [9.25, 10.0]  # what is missing before stays a gap
    assert arrival_times(2.0, 10.0, 0, 0.5).size == 0


# the estimate


def test_gross_and_net_with_the_idle_baseline() -> None:
    outcome = measured(reading(TIMES, power_at(TIMES)), Script(relative_accuracy=0.02))
    record = outcome.record
    assert record is not None
    assert outcome.reason is None
    assert record.reasons == ()
    assert record.gross_mj == pytest.approx(GROSS_MJ, rel=1e-4)
    assert record.net_mj == pytest.approx(NET_MJ, rel=1e-4)
    assert record.idle_mw == pytest.approx(IDLE_MW, rel=1e-4)
    assert (record.windows, record.samples) == (10, 200)
    for value, interval in ((record.net_mj, record.net_ci95_mj), (record.gross_mj, record.gross_ci95_mj)):
        assert interval is not None
        assert interval == pytest.approx((value * (1 - 0.95 * 0.02), value * (1 + 0.95 * 0.02)), rel=1e-3)


def test_without_a_stated_accuracy_only_the_spread_is_in_the_interval() -> None:
    record = measured(reading(TIMES, power_at(TIMES))).record
    assert record is not None
    assert record.net_ci95_mj is not None
    assert record.net_ci95_mj == pytest.approx((NET_MJ, NET_MJ), rel=1e-3)
    assert record.relative_accuracy is None


def test_runs_count_not_windows() -> None:
    windows = [Stretch(10.0, 1.0, 1), Stretch(90.0, 1.0, 9)]
    estimate = estimate_energy(windows, [Stretch(2.0, 1.0), Stretch(2.0, 1.0)], None)
    assert estimate.gross_mj == 10.0
    assert estimate.net_mj == pytest.approx(10.0 - 2.0 * 2 / 10)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_intervals_cover_the_truth_over_200_runs(scene: Scene) -> None:
    found = coverage(scene, runs=200)
    assert 0.90 <= found.net_share <= 0.98
    assert 0.90 <= found.gross_share <= 0.98
    assert found.median_width <= 0.05


# faults


def test_a_sensor_that_stops_for_good() -> None:
    early = measured(reading(TIMES[TIMES < 5.0], power_at(TIMES[TIMES < 5.0])))
    assert early.record is None
    assert codes(early) == {"sensor-stopped"}
    assert str(early.reason).startswith("sensor-stopped: script gave no samples around a window or idle interval (and ")


def test_a_sensor_that_pauses() -> None:
    kept = (TIMES < 5.1) | (TIMES > 5.9)
    outcome = measured(reading(TIMES[kept], power_at(TIMES[kept])))
    assert outcome.record is not None
    assert codes(outcome) == {"sensor-stopped"}
    assert "gave nothing for 0.9 s within 1 s" in outcome.reasons[0].text
    assert outcome.record.windows == 9
    assert outcome.record.net_mj == pytest.approx(NET_MJ, rel=1e-3)


def test_a_sensor_that_gave_nothing_at_all() -> None:
    outcome = evaluate(Script(), [SensorReading(np.zeros(0), np.zeros((0, 1)))], INTERVALS)
    assert (outcome.record, codes(outcome)) == (None, {"sensor-stopped"})


def test_a_sensor_that_is_too_slow() -> None:
    times = TIMES[::8]
    outcome = measured(reading(times, power_at(times)))
    assert (outcome.record, codes(outcome)) == (None, {"sensor-too-slow"})
    assert f"at least {MIN_SAMPLES} are needed" in str(outcome.reason)


def faulty(count: int) -> SensorReading:
    faults = (SensorFault("sensor-garbage", "a line 'x'"),) * count
    return dataclasses.replace(reading(TIMES, power_at(TIMES)), faults=faults)


def test_garbage_degrades_and_much_garbage_is_no_measurement() -> None:
    few, many = measured(faulty(3)), measured(faulty(30))
    assert few.record is not None
    assert few.record.reasons == (Reason("sensor-garbage", "a line 'x' (and 2 more)"),)
    assert (many.record, codes(many)) == (None, {"sensor-garbage"})


@pytest.mark.parametrize("wrong", [-500.0, 2e5, np.nan, np.inf])
def test_values_out_of_range(wrong: float) -> None:
    power = power_at(TIMES)
    power[[100, 150]] = wrong
    outcome = measured(reading(TIMES, power))
    assert outcome.record is not None
    assert codes(outcome) == {"sensor-out-of-range"}
    assert "a rail has 0 to 100000 mW (and 1 more)" in outcome.reasons[0].text
    assert outcome.record.net_mj == pytest.approx(NET_MJ, rel=1e-3)
    power[:60] = wrong
    assert measured(reading(TIMES, power)).record is None


@pytest.mark.parametrize(
    "change",
    [lambda t: t.__setitem__(100, t[99]), lambda t: t.__setitem__(100, 1.0), lambda t: t.__setitem__(100, 900.0)],
    ids=["duplicate", "back", "ahead"],
)
def test_times_that_jump(change: object) -> None:
    times = TIMES.copy()
    change(times)  # type: ignore[operator]
    outcome = measured(reading(times, power_at(TIMES)))
    assert outcome.record is not None
    assert codes(outcome) == {"sensor-time-jump"}
    assert outcome.record.net_mj == pytest.approx(NET_MJ, rel=1e-3)
    assert outcome.record.gross_mj == pytest.approx(GROSS_MJ, rel=1e-3)


def test_a_clock_that_goes_back_for_good_is_no_measurement() -> None:
    times = TIMES.copy()
    times[120:] -= 5
    outcome = measured(reading(times, power_at(TIMES)))
    assert outcome.record is None
    assert "sensor-time-jump" in codes(outcome)


def counted(totals: np.ndarray) -> EnergyOutcome:
    return measured(reading(TIMES, totals), Script(kind=SensorKind.COUNTER))


def test_counters() -> None:
    totals = np.concatenate([[0.0], np.cumsum(power_at(TIMES)[1:] * np.diff(TIMES))])
    good = counted(totals + 1e9)
    assert good.record is not None
    assert good.record.net_mj == pytest.approx(NET_MJ, rel=1e-6)
    wrapped = totals.copy()
    wrapped[150:] -= wrapped[150]
    assert (counted(wrapped).record, codes(counted(wrapped))) == (None, {"counter-wrap"})
    jumped = totals.copy()
    jumped[150:] += 1e6
    assert codes(counted(jumped)) == {"sensor-out-of-range"}
    assert codes(counted(np.where(TIMES > 5, np.nan, totals))) >= {"sensor-out-of-range"}


def test_a_sensor_that_shows_one_value_for_ever() -> None:
    outcome = measured(reading(TIMES, np.full(TIMES.size, 5000.0)))
    assert outcome.record is not None
    assert codes(outcome) == {"sensor-stuck"}


def test_a_baseline_that_moves() -> None:
    power = power_at(TIMES)
    power[TIMES > 13.25] = 1.5 * IDLE_MW
    outcome = measured(reading(TIMES, power))
    assert codes(outcome) == {"idle-drift"}
    assert "between 2000 and 3000 mW" in outcome.reasons[0].text


def test_runs_that_slow_down() -> None:
    slower = tuple(
        dataclasses.replace(one, runs=RUNS if index < 5 else 40) for index, one in enumerate(INTERVALS.windows)
    )
    outcome = measured(reading(TIMES, power_at(TIMES)), intervals=dataclasses.replace(INTERVALS, windows=slower))
    assert codes(outcome) == {"runs-unsteady"}
    assert "a run took 20 ms in one window and 25 ms in another" in outcome.reasons[0].text


def test_clocks_that_agree_badly() -> None:
    given = reading(TIMES, power_at(TIMES))
    assert codes(evaluate(Script(), [given], INTERVALS, ClockAlignment(7.0, 0.1))) == {"clock-uncertain"}
    assert codes(evaluate(Script(), [given], INTERVALS, ClockAlignment(7.0, 0.001))) == set()


# how long to measure


def test_windows_grow_with_slow_sensors_and_uncertain_clocks() -> None:
    assert plan_schedule(100.0, 3.0) == Schedule(10, 0.3, 2.0)
    assert plan_schedule(1.0, 3.0) == Schedule(10, 8.0, 12.0)
    assert plan_schedule(100.0, 3.0, clock_error_s=0.01) == Schedule(10, 0.6, 2.0)
    assert plan_schedule(100.0, 0.1) == Schedule(10, 0.2, 2.0)
    assert plan_schedule(100.0, 600.0) == Schedule(10, 60.0, 2.0)
    slow = plan_schedule(0.1, 3.0)
    assert isinstance(slow, Reason)
    assert (slow.code, "a window would take 80 s" in slow.text) == ("sensor-too-slow", True)
