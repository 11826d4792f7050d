from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgert.codec import to_plain
from edgert.errors import InputFileError, OutputError
from edgert.profiler.board_record import BoardRecord
from edgert.profiler.record import SCHEMA, EnergyRecord, Record, Sustained, load_record, parse_record, write_record
from edgert.profiler.record_upgrade import UPGRADES, upgrade
from tests import record_example as example


def test_a_record_survives_the_file(tmp_path: Path) -> None:
    energy = EnergyRecord("rapl", ("package-0",), 1000.0, "5 %", "memory", 900.0, 3.0, 2.5, (2.4, 2.6))
    full = example.record(energy=energy, energy_reason=None, sustained=Sustained(600.0, 60.0, 10, 1.0, 1.2, 1.2))
    for record in (example.record(), full):
        assert load_record(write_record(tmp_path / "r.json", record)) == record


@pytest.mark.parametrize("key", ["environment", "device", "engine", "method", "latency", "verdict", "reasons"])
def test_a_record_without_its_circumstances_is_refused(key: str) -> None:
    plain = to_plain(example.record())
    del plain[key]
    with pytest.raises(InputFileError, match=f"not a complete profile record: at {key}: missing"):
        parse_record(json.dumps(plain))


@pytest.mark.parametrize("key", ["before", "during", "after"])
def test_a_record_with_half_its_environment_is_refused(key: str) -> None:
    plain = to_plain(example.record())
    del plain["environment"][key]
    with pytest.raises(InputFileError, match=f"at environment.{key}: missing"):
        parse_record(json.dumps(plain), "r.json")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"schema": 3}, "schema 3, which a newer edgert wrote; this one reads up to 2: update edgert"),
        ({"schema": 0}, "schema 0; this edgert reads schema 1, 2"),
        ({"schema": True}, "schema True; this edgert reads schema 1, 2"),
        ({"schema": "2"}, "schema '2'; this edgert reads schema 1, 2"),
        ({"source": "guessed"}, "it must be measured or estimated"),
        ({"energy": None, "energy_reason": None}, "energy is null without energy_reason"),
        ({"verdict": "fine"}, "'fine' is not one of valid, degraded, invalid"),
    ],
)
def test_wrong_values_are_refused(change: dict[str, object], expected: str) -> None:
    with pytest.raises(InputFileError, match=expected):
        parse_record(json.dumps(to_plain(example.record()) | change))


def test_a_record_without_samples_is_refused() -> None:
    plain = to_plain(example.record())
    plain["latency"]["windows_ms"] = [[]]
    with pytest.raises(InputFileError, match="windows_ms holds no samples"):
        parse_record(json.dumps(plain))


@pytest.mark.parametrize("text", ["", "[]", "{", '"x"', "[" * 100_000])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputFileError, match=r"r.json: (not a )?profile record"):
        load_record(tmp_path / "r.json")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot be read"):
        load_record(tmp_path / "no.json")
    with pytest.raises(InputFileError, match="cannot be read"):
        load_record(tmp_path)
    with pytest.raises(OutputError, match="cannot write"):
        write_record(tmp_path, example.record())


def test_the_identity_of_a_device_is_its_hardware() -> None:
    renamed = dataclasses.replace(example.DEVICE, name="kitchen", kernel="6.6")
    assert renamed.identity() == example.DEVICE.identity()
    assert dataclasses.replace(example.DEVICE, cores=2).identity() != example.DEVICE.identity()


def test_a_record_of_schema_1_is_upgraded_and_written_as_the_newest(tmp_path: Path) -> None:
    plain = to_plain(example.record()) | {"schema": 1}
    for key in ("core", "target", "release"):
        del plain["device"][key]
    for key in ("power_mode", "unreadable"):
        del plain["environment"][key]
    for sample in (plain["environment"]["before"], *plain["environment"]["during"], plain["environment"]["after"]):
        for key in ("clocks_locked", "gpu_clock_mhz", "cooling", "throttle_counts"):
            del sample[key]
    record = parse_record(json.dumps(plain))
    assert record == example.record()
    written = json.loads(write_record(tmp_path / "r.json", record).read_text())
    assert written["schema"] == SCHEMA == 2


def test_upgrades_are_applied_one_after_the_other_and_leave_the_document_alone() -> None:
    def add(name: str, value: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return lambda document: {**document, name: value, "seen": [*document.get("seen", ()), document["schema"]]}

    document = {"schema": 1, "kept": 7}
    found = upgrade(document, 3, "r.json", {1: add("a", 1), 2: add("b", 2)})
    assert found == {"schema": 3, "kept": 7, "a": 1, "b": 2, "seen": [1, 2]}
    assert document == {"schema": 1, "kept": 7}


def test_every_schema_before_the_newest_has_an_upgrade() -> None:
    assert sorted(UPGRADES) == list(range(1, SCHEMA))


def names(kind: object) -> set[str]:
    """Names of all fields of a dataclass and of those that its fields hold."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        return set(hints).union(*(names(hint) for hint in hints.values()))
    return set().union(*(names(member) for member in typing.get_args(kind)))


@pytest.mark.parametrize("kind", [Record, BoardRecord])
def test_every_field_stands_on_the_page(kind: type) -> None:
    page = (Path(__file__).parents[2] / "docs" / "profile-record.md").read_text()
    assert names(kind) - set(re.findall(r"`(\w+)`", page)) == set()
