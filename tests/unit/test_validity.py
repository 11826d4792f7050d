from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from edgert.profiler.record import EnvironmentSample, Sustained, Verdict
from edgert.profiler.validity import INVALIDATING, judge
from tests import record_example as example

QUIET = example.record()


def codes(*during: EnvironmentSample, **changes: object) -> list[str]:
    record = example.record(**changes)
    _, reasons = judge(example.environment(*during), record.method, record.latency, record.sustained)
    assert all(reason.text for reason in reasons)
    return [reason.code for reason in reasons]


def test_a_quiet_board_is_valid() -> None:
    assert judge(QUIET.environment, QUIET.method, QUIET.latency) == (Verdict.VALID, ())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"governors": ("ondemand", "performance")}, "governor-not-performance"),
        ({"clocks_mhz": (1200.0,)}, "clocks-changed"),
        ({"wall_s": 5000.0}, "clock-step"),
        ({"competing_cores": 0.9}, "competing-load"),
        ({"memory_pressure_avg10": 12.0}, "memory-pressure"),
        ({"memory_available_bytes": 1 << 20}, "memory-pressure"),
        ({"throttle_flags": "0x50005"}, "throttled"),
        ({"cooling": {"cooling_device2:cpu-throttle-alert": 1}}, "throttled"),
    ],
)
def test_one_disturbance_gives_its_code(change: dict[str, object], code: str) -> None:
    assert codes(example.sample(1, **change)) == [code]


def after(**changes: object) -> list[tuple[str, str]]:
    environment = dataclasses.replace(QUIET.environment, after=example.sample(3, **changes))
    return [(reason.code, reason.text) for reason in judge(environment, QUIET.method, QUIET.latency)[1]]


def test_throttling_before_the_run_does_not_count() -> None:
    old = [example.sample(second, throttle_flags="0x50000") for second in range(3)]
    environment = example.environment(old[1])
    environment = dataclasses.replace(environment, before=old[0], after=old[2])
    assert judge(environment, QUIET.method, QUIET.latency) == (Verdict.VALID, ())


def test_throttling_that_came_and_went_between_two_samples_counts() -> None:
    text = "the firmware says that under-voltage, throttled occurred during the measurement (flags 0x0, 0x50000)"
    assert after(throttle_flags="0x50000") == [("throttle-occurred", text)]


def test_throttling_that_stays_gives_both_codes() -> None:
    found = dict(after(throttle_flags="0x50005"))
    assert list(found) == ["throttled", "throttle-occurred"]
    assert "under-voltage, throttled in 1 of 4 samples" in found["throttled"]


def test_a_counter_that_rises_counts_and_one_that_appears_does_not() -> None:
    before = example.sample(0, throttle_counts={"oc1_event_cnt": 3})
    last = example.sample(3, throttle_counts={"oc1_event_cnt": 5, "oc2_event_cnt": 9})
    environment = dataclasses.replace(QUIET.environment, before=before, after=last)
    (reason,) = judge(environment, QUIET.method, QUIET.latency)[1]
    assert (reason.code, reason.text) == ("throttle-occurred", "counters of throttling rose: oc1_event_cnt by 2")


def test_flags_that_should_be_readable_and_are_not() -> None:
    environment = dataclasses.replace(QUIET.environment, unreadable=("throttle flags: no vcgencmd",))
    (reason,) = judge(environment, QUIET.method, QUIET.latency)[1]
    assert reason.code == "throttle-unreadable"
    assert "no vcgencmd" in reason.text


def test_locked_clocks_are_as_good_as_the_performance_governor() -> None:
    def run(locked: bool) -> list[str]:
        samples = [example.sample(s, governors=("schedutil",), clocks_locked=locked) for s in range(3)]
        environment = dataclasses.replace(example.environment(samples[1]), before=samples[0], after=samples[2])
        return [reason.code for reason in judge(environment, QUIET.method, QUIET.latency)[1]]

    assert run(True) == []
    assert run(False) == ["governor-not-performance"]


def test_a_neighbour_is_described_by_how_long_it_disturbed() -> None:
    (found,) = after(competing_cores=1.5)
    assert found == ("competing-load", "other processes used up to 1.5 cores, in 1 of 4 samples")


def test_unreadable_clocks_are_said() -> None:
    blind = example.sample(0, clocks_mhz=(), governors=())
    _, reasons = judge(
        dataclasses.replace(QUIET.environment, before=blind, during=(blind,), after=blind), QUIET.method, QUIET.latency
    )
    assert [reason.code for reason in reasons] == ["clocks-unreadable"]


def test_the_method_is_judged_too() -> None:
    assert codes(method=dataclasses.replace(QUIET.method, samples=5)) == ["too-few-samples"]
    assert codes(method=dataclasses.replace(QUIET.method, steady=False)) == ["not-warm"]
    assert codes(given=[np.full(20, 1.0), np.full(20, 1.3)]) == ["unstable-latency"]
    assert codes(sustained=Sustained(600, 60, 100, 1.0, 1.4, 1.4)) == ["throttled-sustained"]
    assert codes(sustained=Sustained(600, 60, 100, 1.0, 1.01, 1.01)) == []


@pytest.mark.parametrize("code", sorted(INVALIDATING))
def test_some_codes_invalidate(code: str) -> None:
    method = dataclasses.replace(QUIET.method, samples=5) if code == "too-few-samples" else QUIET.method
    environment = example.environment(example.sample(1, wall_s=5000.0)) if code == "clock-step" else QUIET.environment
    verdict, reasons = judge(environment, method, QUIET.latency)
    assert verdict is Verdict.INVALID
    assert code in {reason.code for reason in reasons}


def test_every_code_stands_on_the_page() -> None:
    root = Path(__file__).parents[2]
    given = set(re.findall(r'Reason\(\s*"([a-z-]+)"', (root / "edgert/profiler/validity.py").read_text()))
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", (root / "docs/profile.md").read_text(), re.MULTILINE))
    assert len(given) >= 12
    assert given <= listed
