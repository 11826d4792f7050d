from __future__ import annotations

import dataclasses

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
    ],
)
def test_one_disturbance_gives_its_code(change: dict[str, object], code: str) -> None:
    assert codes(example.sample(1, **change)) == [code]


def test_past_throttling_that_is_over_does_not_count() -> None:
    assert codes(example.sample(1, throttle_flags="0x50000")) == []


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
