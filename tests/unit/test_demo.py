from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgert.bundle import Gate
from edgert.cli import main
from edgert.codec import from_plain
from edgert.commands.demo import (
    NEXT_COMMAND,
    DemoResult,
    DemoRow,
    TimeRatio,
    describe,
    pays,
    reason_line,
    time_ratio,
    verdict_line,
)
from edgert.profiler.record import Record
from tests import report_example as example

FLOAT = DemoRow("onnx-fp32", 451_057, 98.0, 900, None, Gate.NONE, 0.573)
INT8 = DemoRow("onnx-int8", 137_040, 97.8, 900, 0.2, Gate.PASSED, 0.199)
FASTER = TimeRatio(0.5, 0.48, 0.53)


def test_int8_that_keeps_accuracy_and_is_surely_faster_is_recommended() -> None:
    assert verdict_line(INT8, FASTER) == "int8: 0.50x the time, -0.2 points: use it"


@pytest.mark.parametrize("gate", [Gate.FAILED, Gate.UNDECIDED, Gate.NONE])
def test_int8_without_a_passed_gate_does_not_pay(gate: Gate) -> None:
    row = dataclasses.replace(INT8, gate=gate)
    assert verdict_line(row, FASTER) == "int8 does not pay here: keep fp32"
    assert f"accuracy gate {gate.value}, n=900" in reason_line(row, FASTER)


@pytest.mark.parametrize("ratio", [TimeRatio(0.9, 0.8, 1.0), TimeRatio(1.5, 1.4, 1.6), TimeRatio(0.99, 0.95, 1.02)])
def test_int8_that_is_not_surely_faster_does_not_pay(ratio: TimeRatio) -> None:
    assert not pays(INT8, ratio)
    assert verdict_line(INT8, ratio) == "int8 does not pay here: keep fp32"


@pytest.mark.parametrize(("drop", "words"), [(-0.11, "+0.1 points"), (0.04, ", 0.0 points"), (1.25, "-1.2 points")])
def test_a_drop_is_written_as_a_negative_change(drop: float, words: str) -> None:
    assert words in verdict_line(dataclasses.replace(INT8, drop_points=drop), FASTER)


def test_time_ratio_is_taken_over_all_rounds_with_its_interval() -> None:
    float_record, int8_record = (from_plain(Record, plain) for plain in example.records())
    ratio = time_ratio([float_record] * 2, [int8_record] * 2)
    assert ratio.value == pytest.approx(0.1317 / 0.2631, rel=1e-3)
    assert 0.45 < ratio.low < ratio.value < ratio.high < 0.55


def test_text_has_table_verdict_report_and_ends_with_the_command_for_the_users_model() -> None:
    paths = (Path("a.json"), Path("b.json"))
    result = DemoResult(FLOAT, INT8, FASTER, verdict_line(INT8, FASTER), Path("d.edge"), paths, Path("x/report.html"))
    lines = describe(result).splitlines()
    assert lines[0].split() == ["variant", "size", "accuracy", "n", "p50", "time"]
    assert lines[2].split() == ["onnx-fp32", "451", "kB", "98.00", "%", "900", "0.573", "ms", "1.00x"]
    assert lines[3].split() == ["onnx-int8", "137", "kB", "97.80", "%", "900", "0.199", "ms", "0.50x"]
    assert lines[5] == "int8: 0.50x the time, -0.2 points: use it"
    assert "report: x/report.html" in lines
    assert lines[-1] == NEXT_COMMAND == "edgert convert MODEL --calib CAL.npz --eval EVAL.npz -o net.edge"


@pytest.mark.slow
def test_demo_converts_measures_and_reports_the_embedded_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--json", "--output-dir", str(tmp_path / "out")]) == 0
    plain = json.loads(capsys.readouterr().out)
    reference, int8 = plain["variants"]
    assert 97.5 <= reference["accuracy"] <= 99.0
    assert int8["gate"] == "passed"
    assert int8["size_bytes"] < 0.4 * reference["size_bytes"]
    assert plain["pays"] == (plain["time_ratio"]["high"] < 1)
    page = Path(plain["report"]).read_text(encoding="utf-8")
    assert "onnx-int8" in page
    assert "not measured: no profile record was given" not in page
