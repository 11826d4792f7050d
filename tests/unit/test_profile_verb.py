from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from edgert import cli
from edgert.bundle import Gate
from edgert.codec import to_plain
from edgert.commands.sweep import sweep_text
from edgert.errors import EngineError
from edgert.profiler import sweep as sweeping
from edgert.profiler.candidates import refuse_cpu
from edgert.profiler.record import Reason, Record, Verdict, load_record
from edgert.profiler.sweep import SweepResult, SweepRow
from edgert.runtime.session import load
from edgert.runtime.settings import Choice
from tests import bundle_example as example
from tests import record_example

FAST = ("--duration", "50ms", "--no-layers", "--energy", "none")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return example.write(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = cli.main(["profile", *map(str, words)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def kept(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.json"))


def test_a_record_is_added_to_the_folder_each_time(
    bundle: Path, records_of_its_own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, bundle, *FAST, "--json")
    assert status == 0
    (name,) = kept(records_of_its_own)
    assert name.startswith("host/example-onnx-fp32-")
    assert f"kept {records_of_its_own / name}" in err
    assert to_plain(load_record(records_of_its_own / name)) == json.loads(out)
    assert json.loads(out)["device"]["target"] == "host"
    run(capsys, bundle, *FAST)
    assert len(kept(records_of_its_own)) == 2


def test_where_records_go_is_the_users_choice(
    bundle: Path, records_of_its_own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, bundle, *FAST, "--no-record")
    run(capsys, bundle, *FAST, "-o", tmp_path / "one.json")
    assert kept(records_of_its_own) == []
    run(capsys, bundle, *FAST, "-o", tmp_path / "two.json", "--records", tmp_path / "folder")
    assert kept(records_of_its_own) == []
    (name,) = kept(tmp_path / "folder")
    assert load_record(tmp_path / "folder" / name) == load_record(tmp_path / "two.json")
    status, _, err = run(capsys, bundle, "--no-record", "-o", tmp_path / "three.json")
    assert (status, "--no-record goes with neither -o nor --records" in err) == (2, True)


def test_a_folder_of_the_users_choice_that_cannot_be_written_is_an_error_and_the_default_one_is_not(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    status, out, err = run(capsys, bundle, *FAST, "--records", tmp_path / "file")
    assert (status, "verdict" in out, "no record can be kept here" in err) == (1, True, True)
    monkeypatch.setenv("EDGERT_RECORDS", str(tmp_path / "file"))
    status, out, err = run(capsys, bundle, *FAST)
    assert (status, "verdict" in out, "the record was not kept" in err) == (0, True, True)


@pytest.mark.parametrize(("verdict", "status"), [(Verdict.VALID, 0), (Verdict.DEGRADED, 1), (Verdict.INVALID, 1)])
def test_require_valid(
    verdict: Verdict, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = () if verdict is Verdict.VALID else (Reason("competing-load", "a neighbour"),)
    record = record_example.record(verdict=verdict, reasons=reasons)
    monkeypatch.setattr("edgert.commands.profile.profile_on_device", lambda *_: (record, {}))
    words = ["net.onnx", "--no-record", "--json"]
    assert run(capsys, *words)[0] == 0
    found, out, err = run(capsys, *words, "--require-valid", "--quiet")
    assert found == status
    assert json.loads(out)["verdict"] == verdict.value
    expected = "" if verdict is Verdict.VALID else f"edgert: {verdict.value}: competing-load: a neighbour\n"
    assert err == expected


def test_a_sweep_profiles_each_candidate_and_stores_the_best(
    bundle: Path, records_of_its_own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, bundle, *FAST, "--sweep", "--engine", "onnxruntime", "--json")
    assert status == 0, err
    plain = json.loads(out)
    choices = [row["choice"] for row in plain["rows"]]
    assert {choice["variant"] for choice in choices} == {"onnx-fp32"}
    assert {choice["engine"] for choice in choices} == {"onnxruntime"}
    assert choices[0]["threads"] == 1
    assert all(row["record"]["engine"]["threads"] == row["choice"]["threads"] for row in plain["rows"])
    assert len(kept(records_of_its_own)) == len(choices)
    with load(bundle) as session:
        assert session.tuned is not None
        assert session.tuned.used
        assert session.facts()["threads"] == plain["best"]["choice"]["threads"]
    assert Path(plain["stored"]).is_file()


@pytest.mark.parametrize("words", [["--threads", "2"], ["--engine-option", "allow_spinning=0"]])
def test_a_sweep_chooses_the_threads_itself(bundle: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    status, _, err = run(capsys, bundle, "--sweep", *words)
    assert (status, "--sweep chooses the threads itself" in err) == (2, True)


def test_a_sweep_needs_an_engine_that_runs_the_variant(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, bundle, "--sweep", "--engine", "litert")
    assert (status, "no engine there runs 'onnx-fp32'" in err) == (3, True)


def test_a_sweep_never_changes_the_precision() -> None:
    def entry(variant: str, precision: str, gate: Gate, **more: Any) -> sweeping.Entry:
        return sweeping.Entry(Choice(variant, "engine", 1), precision, gate, False, gate is Gate.NONE, **more)

    entries = [
        entry("int8", "int8", Gate.NONE),
        entry("tflite-int8", "int8", Gate.PASSED),
        entry("failed-int8", "int8", Gate.FAILED),
        entry("unverified-int8", "int8", Gate.NONE),
        entry("fp32", "fp32", Gate.PASSED),
        entry("refused", "int8", Gate.PASSED, refusal="not installed"),
    ]
    request = sweeping.ProfileRequest("net.edge", "2026")

    def names(**changes: Any) -> list[str | None]:
        asked = dataclasses.replace(request, **changes)
        return [e.choice.variant for e in entries if sweeping._takes_part(e, entries, "int8", asked)]

    assert names() == ["int8", "tflite-int8"]
    assert names(variant="int8") == ["int8"]
    assert names(engine="another") == []


def test_a_sweep_leaves_the_cpu_of_a_jetson_alone_unless_its_engine_is_named() -> None:
    def entry(engine: str, threads: int) -> sweeping.Entry:
        return sweeping.Entry(Choice("trt", engine, threads), "fp16", Gate.PASSED, False, False)

    entries = [entry("onnxruntime", 1), entry("onnxruntime", 6), entry("litert", 1)]
    request = sweeping.ProfileRequest("net.edge", "2026", accelerator="cuda")

    def names(asked: sweeping.ProfileRequest) -> list[tuple[str | None, int | None]]:
        able = entries if asked.engine else list(refuse_cpu(entries, asked.accelerator))
        took = [e.choice for e in able if sweeping._takes_part(e, able, "trt", asked)]
        return [(choice.engine, choice.threads) for choice in took]

    assert names(request) == [("onnxruntime", 1)]
    assert names(dataclasses.replace(request, engine="litert")) == [("litert", 1)]


def row(name: str, record: Record | None, left_out: str | None = None) -> SweepRow:
    return SweepRow(name, Choice("v", "e", 1), record, left_out)


def test_the_best_is_the_fastest_that_counts() -> None:
    fast, slow = record_example.record(5.0), record_example.record(9.0)
    invalid = dataclasses.replace(record_example.record(1.0), verdict=Verdict.INVALID)
    rows = [row("slow", slow), row("fast", fast), row("invalid", invalid), row("crashed", None, "failed: SIGILL")]
    assert sweeping._best(Path("m"), rows).name == "fast"
    text = sweep_text(SweepResult(tuple(rows), rows[1], None, ()))
    assert "failed: SIGILL" in text
    assert "stored" not in text
    with pytest.raises(EngineError, match="no record that counts: crashed: failed: SIGILL"):
        sweeping._best(Path("m"), rows[3:])


@pytest.mark.parametrize("flag", ["--sweep", "--require-valid"])
def test_a_microcontroller_has_neither(bundle: Path, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    status, _, err = run(capsys, bundle, "--device", "qemu:mps2-an386", flag)
    assert (status, "a microcontroller has no" in err) == (2, True)
