from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest

from edgert import cli
from edgert.profiler.board_record import write_board_record
from edgert.profiler.record import write_record
from edgert.profiler.record_files import append_record
from tests import bundle_example
from tests import record_example as example


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = cli.main([*map(str, words)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Before: two variants, one of them twice. After: one of them, slower, and a third."""
    before, after = tmp_path / "before", tmp_path / "after"
    append_record(before, example.record(99.0, created="2026-01-01T00:00:00+00:00"))
    append_record(before, example.record(10.0, created="2026-01-02T00:00:00+00:00"))
    append_record(before, example.record(20.0, variant="onnx-fp32"))
    append_record(after, example.record(15.0, seed=1))
    append_record(after, example.record(20.0, variant="tflite-int8"))
    return before, after


def test_folders_are_compared_pair_by_pair_with_the_newest_records(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "compare", *folders, "--json")
    plain = json.loads(out)
    (row,) = plain["comparisons"]
    assert (status, row["regression"]) == (1, True)
    assert row["base_p50_ms"] == pytest.approx(10.0, rel=0.01)
    assert [Path(name).name.split("-2026")[0] for name in plain["unmatched"]] == ["net-onnx-fp32", "net-tflite-int8"]
    assert err.count("no record of the same kind on the other side") == 2
    status, out, _ = run(capsys, "compare", *folders, "--max-regression", "80", "--quiet")
    assert status == 0
    assert "onnxruntime, threads 1" in out


def test_a_glob_leads_to_one_record(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "compare", f"{folders[0]}/*/*fp32*.json", f"{folders[0]}/*/*fp32*.json")
    assert (status, "no significant difference" in out) == (0, True)


def test_folders_of_other_devices_share_nothing_unless_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = dataclasses.replace(example.DEVICE, name="Board Z", board="Board Z")
    for count in range(2):
        append_record(tmp_path / "x", example.record(10.0, seed=count))
        append_record(tmp_path / "z", example.record(10.0, seed=count, device=other))
    status, _, err = run(capsys, "compare", tmp_path / "x", tmp_path / "z")
    assert (status, "share no model, variant, engine, threads and device" in err) == (2, True)
    assert run(capsys, "compare", tmp_path / "x", tmp_path / "z", "--across-devices")[0] == 0


def test_records_of_microcontrollers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_board_record(tmp_path / "1.json", example.board_record(1000))
    two = write_board_record(tmp_path / "2.json", example.board_record(1100))
    status, out, _ = run(capsys, "compare", one, two)
    assert status == 1
    assert "A 1,000 instructions, B 1,100 instructions: 1.100x" in out
    assert "regression: B takes more instructions by more than the 5 % allowed" in out
    assert "B takes fewer instructions" in run(capsys, "compare", two, one)[1]
    assert "the same" in run(capsys, "compare", two, two)[1]
    assert "B takes more instructions" in run(capsys, "compare", one, two, "--max-regression", "20")[1]


def test_times_and_counts_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = write_board_record(tmp_path / "1.json", example.board_record())
    cycles = example.board_record(source="measured", instructions=None, cycles=1000)
    clocked = write_board_record(tmp_path / "2.json", cycles)
    time = write_record(tmp_path / "3.json", example.record())
    for pair, expected in (
        ((count, time), "A holds instructions and B time"),
        ((count, clocked), "A holds instructions and B cycles"),
    ):
        status, _, err = run(capsys, "compare", *pair)
        assert (status, expected in err) == (2, True)


def test_report_exports_without_a_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    append_record(tmp_path / "in", example.record())
    append_record(tmp_path / "in", example.board_record())
    (tmp_path / "in/other.json").write_text("{}")
    words = ["report", "--record", tmp_path / "in", "--export", tmp_path / "t.csv"]
    status, out, err = run(capsys, *words, "--json")
    assert (status, json.loads(out)) == (0, {"records": 2, "export": str(tmp_path / "t.csv")})
    assert "other.json: passed over, no profile record" in err
    with (tmp_path / "t.csv").open(newline="") as stream:
        assert sorted(row["kind"] for row in csv.DictReader(stream)) == ["instructions", "time"]


def test_report_reads_folders_and_leaves_microcontrollers_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_example.write(tmp_path)
    append_record(tmp_path / "in", example.record())
    board = append_record(tmp_path / "in", example.board_record())
    page = tmp_path / "page.html"
    assert run(capsys, "report", bundle, "--record", tmp_path / "in", "-o", page)[0] == 0
    assert "1 records of files that are not in this bundle" in page.read_text()
    status, _, err = run(capsys, "report", bundle, "--record", board, "-o", page)
    assert (status, "the record of a microcontroller" in err) == (4, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "give a bundle to report on, or --export FILE.csv"),
        (["--export", "t.csv"], "--export needs records: --record FILE, FOLDER or GLOB"),
    ],
)
def test_report_says_what_it_lacks(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "report", *words)
    assert (status, expected in err) == (2, True)
