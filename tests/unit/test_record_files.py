from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgert.codec import to_plain
from edgert.errors import InputFileError, OutputError
from edgert.profiler.record import write_record
from edgert.profiler.record_files import append_record, find_records, load_any_record, records_folder
from tests import record_example as example


def test_names_are_of_target_model_variant_and_date(tmp_path: Path) -> None:
    record = example.record()
    paths = [append_record(tmp_path, record) for _ in range(3)]
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "Board-X/net-onnx-int8-2026-01-01.json",
        "Board-X/net-onnx-int8-2026-01-01-2.json",
        "Board-X/net-onnx-int8-2026-01-01-3.json",
    ]
    assert all(load_any_record(path) == record for path in paths)
    known = dataclasses.replace(record, device=dataclasses.replace(record.device, target="raspberry-pi-5"))
    assert append_record(tmp_path, known).parent.name == "raspberry-pi-5"


def test_a_name_from_a_file_cannot_leave_the_folder(tmp_path: Path) -> None:
    model = dataclasses.replace(example.record().model, name="../../etc/x")
    device = dataclasses.replace(example.DEVICE, name="..")
    path = append_record(tmp_path / "in", example.record(model=model, device=device))
    assert str(path.relative_to(tmp_path)) == "in/unnamed/etc-x-onnx-int8-2026-01-01.json"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="no record can be kept here"):
        append_record(tmp_path / "file", example.record())


def test_nothing_is_left_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, record: object) -> Path:
        raise OutputError("disk full")

    monkeypatch.setattr("edgert.profiler.record_files.write_record", fail)
    with pytest.raises(OutputError, match="disk full"):
        append_record(tmp_path, example.record())
    assert list((tmp_path / "Board-X").iterdir()) == []


def test_the_folder_where_nobody_names_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("EDGERT_RECORDS", str(tmp_path / "own"))
    assert records_folder() == tmp_path / "own"
    monkeypatch.delenv("EDGERT_RECORDS")
    assert records_folder() == tmp_path / "data/edgert/profiles"
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/README.md").write_text("photographs from the side")
    assert records_folder() == tmp_path / "data/edgert/profiles"
    (tmp_path / "profiles/README.md").write_text("# Measured records\n\nRecords of `edgert profile`.\n")
    assert records_folder() == Path("profiles")


def test_files_folders_and_globs_lead_to_records_once(tmp_path: Path) -> None:
    a = write_record(tmp_path / "a.json", example.record(1.0))
    (tmp_path / "deep").mkdir()
    b = write_record(tmp_path / "deep/b.json", example.record(2.0))
    (tmp_path / "other.json").write_text('{"cells": []}')
    found, passed = find_records([a, tmp_path, str(tmp_path / "d*/*.json"), str(tmp_path / "**/*.json")])
    assert [entry.path for entry in found] == [a, b]
    assert set(passed) == {tmp_path / "other.json"}


def test_words_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for word in (tmp_path / "empty", str(tmp_path / "x*.json")):
        with pytest.raises(InputFileError, match="no profile record here; edgert profile makes one"):
            find_records([word])
    with pytest.raises(InputFileError, match=r"no\.json: cannot be read"):
        find_records([tmp_path / "no.json"])
    (tmp_path / "bad.json").write_text(json.dumps({"schema": 2, "variant": "x", "latency": {}}))
    with pytest.raises(InputFileError, match=r"bad\.json: not a complete profile record"):
        find_records([tmp_path])


def test_records_of_microcontrollers_are_read_too(tmp_path: Path) -> None:
    record = example.board_record()
    (tmp_path / "r.json").write_text(json.dumps(to_plain(record)))
    assert load_any_record(tmp_path / "r.json") == record
    old = to_plain(record) | {"schema": 1}
    (tmp_path / "r.json").write_text(json.dumps(old))
    assert load_any_record(tmp_path / "r.json") == record
    assert append_record(tmp_path, record).name == "net-c-board-2026-01-01.json"
