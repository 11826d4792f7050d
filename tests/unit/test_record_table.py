from __future__ import annotations

import csv
import dataclasses
import sys
from pathlib import Path

import pytest

from edgert.errors import MissingExtraError, UsageError
from edgert.profiler.record import EnergyRecord, Reason, Verdict
from edgert.profiler.record_files import LoadedRecord
from edgert.profiler.record_table import COLUMNS, build_row, export_records
from tests import record_example as example

ENERGY = EnergyRecord("ina3221", ("VDD_IN",), 100.0, "1 %", "nothing", 900.0, 3.0, 2.5, (2.4, 2.6))


def loaded(**changes: object) -> LoadedRecord:
    return LoadedRecord(Path("r.json"), example.record(**changes))


def test_a_row_has_a_cell_for_every_column_and_its_value() -> None:
    environment = example.environment(
        example.sample(1, temperatures_c={"a": 61.5}, competing_cores=0.9, throttle_flags="0x50005")
    )
    row = build_row(
        loaded(
            energy=ENERGY,
            energy_reason=None,
            environment=dataclasses.replace(environment, power_mode="15W"),
            verdict=Verdict.DEGRADED,
            reasons=(Reason("throttled", "a"), Reason("throttled", "b"), Reason("competing-load", "c")),
        )
    )
    assert list(row) == list(COLUMNS)
    found = {name: row[name] for name in ("file", "kind", "verdict", "reasons", "power_mode", "governors", "providers")}
    assert list(found.values()) == [
        "r.json", "time", "degraded", "throttled;competing-load", "15W", "performance", None,
    ]  # fmt: skip
    assert (row["net_ci95_low_mj"], row["net_ci95_high_mj"]) == (2.4, 2.6)
    assert (row["max_temperature_c"], row["max_competing_cores"], row["throttle_flags"]) == (61.5, 0.9, "0x0;0x50005")
    assert row["p50_ci95_low_ms"] == example.record().latency.p50_ci95_ms[0]
    assert row["instructions"] is row["battery_hours"] is row["sustained_ratio"] is None


def test_a_microcontroller_has_counts_and_no_time() -> None:
    row = build_row(LoadedRecord(Path("r.json"), example.board_record(1234)))
    assert (row["kind"], row["instructions"], row["p50_ms"], row["verdict"]) == ("instructions", 1234, None, None)
    assert (row["arena_bytes"], row["code_bytes"], row["ram_bytes"], row["input"]) == (100, 3000, 1 << 18, "random")


def test_every_value_is_of_the_type_of_its_column() -> None:
    for row in (build_row(loaded(energy=ENERGY)), build_row(LoadedRecord(Path("r"), example.board_record()))):
        for name, value in row.items():
            assert value is None or type(value) is COLUMNS[name][0], name


def test_csv(tmp_path: Path) -> None:
    path = export_records([loaded(), loaded(variant='odd, "name"')], tmp_path / "t.csv")
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["variant"] for row in rows] == ["onnx-int8", 'odd, "name"']
    assert float(rows[0]["p50_ms"]) == example.record().latency.p50_ms
    assert rows[0]["net_mj"] == ""


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    records = [loaded(), LoadedRecord(Path("b.json"), example.board_record())]
    table = parquet.read_table(export_records(records, tmp_path / "t.parquet"))
    assert table.column_names == list(COLUMNS)
    assert table.to_pylist() == [build_row(record) for record in records]
    assert str(table.schema.field("cycles").type) == "int64"  # all empty, and still a column of numbers


def test_parquet_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"edgert\[parquet\]"):
        export_records([loaded()], tmp_path / "t.parquet")


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"t\.xlsx: end the name in \.csv or \.parquet"):
        export_records([loaded()], tmp_path / "t.xlsx")
