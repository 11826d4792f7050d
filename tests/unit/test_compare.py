from __future__ import annotations

import dataclasses

import pytest

from edgert.errors import UsageError
from edgert.profiler.compare import compare_records
from edgert.profiler.record import Reason, Verdict
from tests import record_example as example


def test_a_record_against_itself_is_no_difference() -> None:
    record = example.record()
    result = compare_records(record, record)
    assert (result.ratio, result.effect, result.significant, result.regression) == (1.0, 0.0, False, False)
    assert result.notes == ()


def test_the_same_speed_measured_twice_is_no_regression() -> None:
    regressions = [
        compare_records(example.record(seed=seed), example.record(seed=seed + 100)).regression for seed in range(10)
    ]
    assert not any(regressions)


@pytest.mark.parametrize(("new_ms", "limit", "regression"), [(12.0, 5, True), (12.0, 25, False), (8.0, 0, False)])
def test_a_known_change(new_ms: float, limit: float, regression: bool) -> None:
    result = compare_records(example.record(10.0), example.record(new_ms, seed=1), max_regression_percent=limit)
    assert result.significant
    assert result.regression is regression
    assert result.effect == (1.0 if new_ms > 10 else -1.0)
    assert result.ratio_ci95[0] <= result.ratio <= result.ratio_ci95[1]


def test_other_devices_are_refused_unless_asked() -> None:
    other = example.record(device=dataclasses.replace(example.DEVICE, name="Board Z", board="Board Z"))
    with pytest.raises(UsageError, match="different devices: Board X .* and Board Z .*--across-devices"):
        compare_records(example.record(), other)
    assert compare_records(example.record(), other, across_devices=True).ratio == 1.0


def test_doubts_and_differences_are_noted() -> None:
    engine = dataclasses.replace(example.record().engine, threads=4)
    doubtful = example.record(
        variant="onnx-fp32", engine=engine, verdict=Verdict.DEGRADED, reasons=(Reason("competing-load", "text"),)
    )
    assert compare_records(example.record(), doubtful).notes == (
        "B is degraded: competing-load",
        "variant differs: onnx-int8 and onnx-fp32",
        "threads differs: 1 and 4",
    )


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(UsageError, match="max_regression is -1 %"):
        compare_records(example.record(), example.record(), max_regression_percent=-1)
