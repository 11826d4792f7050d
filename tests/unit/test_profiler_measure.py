from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from edgert.profiler.measure import Plan, Warmup, measure_sustained, measure_windows, median_ms, summarize, warm_up


class Machine:
    """A clock in ns that each run moves by the next of its times."""

    def __init__(self, times_ms: Iterator[float]) -> None:
        self._times, self._now = times_ms, 0
        self.runs = 0

    def run(self) -> None:
        self.runs += 1
        self._now += int(next(self._times) * 1e6)

    def clock(self) -> int:
        return self._now


def forever(time_ms: Callable[[int], float]) -> Machine:
    return Machine(time_ms(index) for index in iter(range(10**9)))


def test_warm_up_ends_when_three_windows_agree() -> None:
    machine = forever(lambda index: 50.0 if index < 7 else 10.0)
    result = warm_up(machine.run, 60.0, machine.clock)
    assert result.steady
    assert result.runs == machine.runs == 20


def test_warm_up_gives_up_at_its_limit() -> None:
    machine = forever(lambda index: 1.1**index)
    assert not warm_up(machine.run, 1.0, machine.clock).steady


def test_windows_hold_the_time_of_each_run_and_nothing_between() -> None:
    machine = forever(lambda _: 4.0)
    calls: list[int] = []

    def between(index: int) -> None:
        calls.append(index)
        machine._now += 10**9

    windows = measure_windows(machine.run, Plan(0.2, 5), between, machine.clock)
    assert calls == [0, 1, 2, 3, 4, 5]
    assert [window.tolist() for window in windows] == [[4.0] * 10] * 5


def test_a_slow_model_is_still_run_three_times_per_window() -> None:
    machine = forever(lambda _: 900.0)
    assert [window.size for window in measure_windows(machine.run, Plan(0.1, 2), lambda _: None, machine.clock)] == [
        3,
        3,
    ]


def test_a_device_that_is_far_too_slow_is_left_after_the_limit() -> None:
    machine = forever(lambda _: 25_000.0)
    calls: list[int] = []
    windows = measure_windows(machine.run, Plan(3.0), calls.append, machine.clock)  # 60 s and four times 3 s
    assert [window.size for window in windows] == [3]
    assert calls == [0, 1]
    slower = forever(lambda _: 400_000.0)
    assert [window.size for window in measure_windows(slower.run, Plan(3.0), calls.append, slower.clock)] == [1]
    assert warm_up(slower.run, 5.0, slower.clock) == Warmup(1, False)
    assert slower.runs == 2


def test_a_few_runs_are_fewer_on_a_slow_device() -> None:
    machine = forever(lambda _: 2_000.0)
    assert median_ms(machine.run, 15, machine.clock) == 2_000.0
    assert machine.runs == 4


def test_percentiles_of_known_numbers() -> None:
    latency = summarize([np.arange(0.0, 51.0), np.arange(51.0, 101.0)])
    assert (latency.p50_ms, latency.p90_ms, latency.p95_ms, latency.p99_ms) == (50.0, 90.0, 95.0, 99.0)
    assert (latency.mean_ms, latency.min_ms, latency.max_ms) == (50.0, 0.0, 100.0)
    assert latency.p50_ci95_ms[0] <= 50.0 <= latency.p50_ci95_ms[1]


def test_long_windows_are_thinned_evenly() -> None:
    latency = summarize([np.arange(1000.0)])
    kept = latency.windows_ms[0]
    assert (len(kept), kept[0], kept[-1]) == (200, 0.0, 999.0)
    assert latency.p50_ms == 499.5


@pytest.mark.parametrize(("slow_after_s", "ratio"), [(1e9, 1.0), (60.0, 1.5)])
def test_sustained_compares_the_first_with_the_last_minute(slow_after_s: float, ratio: float) -> None:
    machine = Machine(iter(()))

    def run() -> None:
        machine._now += int(30e6 if machine._now > slow_after_s * 1e9 else 20e6)

    result = measure_sustained(run, 600.0, machine.clock)
    assert (result.span_s, result.ratio) == (60.0, ratio)
    assert result.runs > 1000


def test_the_median_leaves_the_first_run_out() -> None:
    machine = forever(lambda index: 1000.0 if index == 0 else float(index))
    assert median_ms(machine.run, 5, machine.clock) == 3.0
