from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgert.codec import to_plain
from edgert.errors import InputFileError
from edgert.profiler.card import NEEDED_STEPS, Machine, Outcome, load_card, parse_card, verified_targets, write_card
from edgert.profiler.card_privacy import redacted
from edgert.profiler.card_worker import private_words, read_surroundings
from edgert.profiler.record_files import find_records
from edgert.profiler.report_card import build_card_page
from tests.card_example import card, steps


def keep(folder: Path, made: object, target: str = "raspberry-pi-4", name: str = "card-raspberry-pi-4-1.json") -> None:
    (folder / target).mkdir(exist_ok=True)
    (folder / target / name).write_text(made if isinstance(made, str) else json.dumps(to_plain(made)))


def test_a_card_is_what_it_was_after_reading(tmp_path: Path) -> None:
    made = card()
    assert load_card(write_card(tmp_path / "card.json", made)) == made


def test_what_is_no_card_is_refused(tmp_path: Path) -> None:
    plain = to_plain(card())
    with pytest.raises(InputFileError, match=r"not valid JSON"):
        parse_card("{")
    with pytest.raises(InputFileError, match=r"not a card of edgert selftest"):
        parse_card("{}")
    with pytest.raises(InputFileError, match=r"card of schema 99; this edgert reads schema 1"):
        parse_card(json.dumps(plain | {"schema": 99}))
    with pytest.raises(InputFileError, match=r"not a complete card: .*surroundings"):
        parse_card(json.dumps({key: value for key, value in plain.items() if key != "surroundings"}))
    with pytest.raises(InputFileError, match=r"none\.json: cannot be read"):
        load_card(tmp_path / "none.json")


def test_a_card_verifies_only_what_passed_on_hardware() -> None:
    assert card().verifies
    assert not card(Machine.EMULATED).verifies
    assert not card(Machine.VIRTUAL).verifies
    assert not card(steps=steps(energy=Outcome.FAILED)).verifies
    assert not card(steps=steps(upload_cut_off=Outcome.SKIPPED)).verifies
    for name in NEEDED_STEPS:
        for outcome in (Outcome.FAILED, Outcome.SKIPPED):
            assert not card(steps=steps(**{name: outcome})).verifies
        assert not card(steps=tuple(step for step in steps() if step.name != name)).verifies


def test_a_good_card_verifies_its_target_and_the_newest_is_named(tmp_path: Path) -> None:
    assert verified_targets(tmp_path) == {}
    keep(tmp_path, card(), name="card-b.json")
    keep(tmp_path, card(created="2026-02-01T12:00:00+00:00"), name="card-c.json")
    keep(tmp_path, card(Machine.EMULATED, created="2026-04-01T12:00:00+00:00"), name="card-d.json")
    assert verified_targets(tmp_path) == {"raspberry-pi-4": "raspberry-pi-4/card-b.json"}


@pytest.mark.parametrize(
    "made",
    [
        card(Machine.EMULATED),
        card(Machine.VIRTUAL),
        card(steps=steps(parity=Outcome.FAILED)),
        card(steps=steps(latency=Outcome.SKIPPED)),
        card(target="raspberry-pi-5"),
        json.dumps(to_plain(card()) | {"schema": 2}),
    ],
    ids=["emulated", "virtual", "failed", "incomplete", "another target", "another schema"],
)
def test_other_cards_verify_nothing(tmp_path: Path, made: object) -> None:
    keep(tmp_path, made)
    assert verified_targets(tmp_path) == {}


def test_a_damaged_card_in_profiles_is_an_error(tmp_path: Path) -> None:
    keep(tmp_path, '{"kind": "edgert selftest card", "schema": 1}')
    with pytest.raises(InputFileError, match=r"card-raspberry-pi-4-1\.json: not a complete card"):
        verified_targets(tmp_path)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "profiles").glob("*/card-*.json")))
def test_committed_cards_load_and_have_their_page(path: Path) -> None:
    assert path.with_suffix(".html").read_text() == build_card_page(load_card(path))


def test_readers_of_records_pass_cards_over(tmp_path: Path) -> None:
    keep(tmp_path, card())
    keep(tmp_path, card().records[0], name="net.json")
    found, passed = find_records([tmp_path])
    assert [loaded.path.name for loaded in found] == ["net.json"]
    assert [path.name for path in passed] == ["card-raspberry-pi-4-1.json"]


def test_private_words_go_and_what_edgert_chose_stays() -> None:
    plain = {
        "target": "raspberry-pi-4",
        "text": "/home/jane/.local/x: ssh jane@kitchen.lan:22 at 192.168.1.7, fe80::1:fe23:890a, b8:27:eb:00:11:22",
        "more": [
            "kitchen",
            "raspberry-pi-4 pi 2.14.0",
            "\x1b[1;31mserial\x1b[m 10000000deadbeef.",
            "0 steps, version 1.2.3",
        ],
    }
    found = redacted(plain, {"jane", "kitchen", "pi", "10000000deadbeef", "0", "root", ""})
    assert found == {
        "target": "raspberry-pi-4",
        "text": "~/.local/x: ssh <login>:22 at <address>, <address>, <address>",
        "more": ["<private>", "raspberry-pi-4 <private> 2.14.0", "serial <private>.", "0 steps, version 1.2.3"],
    }


def test_signs_of_an_emulator_are_seen(tmp_path: Path) -> None:
    def board(name: str, **files: str) -> Machine:
        for path, text in files.items():
            place = tmp_path / name / path.replace("__", "/").replace("_dash_", "-")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        return read_surroundings(tmp_path / name).machine

    assert board(
        "pi", proc__cpuinfo="Features : fp asimd\nSerial : 1\n", proc__device_dash_tree__model="Raspberry Pi 4"
    )
    assert board("pi") is Machine.HARDWARE
    assert board("marked", run__fakeboard__clock="0") is Machine.EMULATED
    assert board("virt", proc__device_dash_tree__model="linux,dummy-virt\0") is Machine.EMULATED
    assert board("x86", sys__class__dmi__id__sys_vendor="QEMU\n") is Machine.EMULATED
    assert board("tcg", proc__cpuinfo="model name : QEMU TCG CPU version 2.5+\n") is Machine.EMULATED
    assert board("cloud", proc__cpuinfo="flags : fpu hypervisor sse\n") is Machine.VIRTUAL
    assert board("xen", sys__hypervisor__type="xen\n") is Machine.VIRTUAL


def test_a_parent_for_another_processor_is_seen(tmp_path: Path) -> None:
    found = read_surroundings(tmp_path, machine="riscv64")  # these tests run on none
    assert found.machine is Machine.EMULATED
    assert "the parent process runs a program for" in found.seen[0]


def test_serial_numbers_and_addresses_are_private_words(tmp_path: Path) -> None:
    for path, text in {
        "proc/cpuinfo": "Revision\t: c03114\nSerial\t\t: 10000000deadbeef\n",
        "proc/device-tree/serial-number": "1425521010001\0",
        "sys/class/net/eth0/address": "b8:27:eb:00:11:22\n",
        "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    words = private_words(tmp_path)
    assert {"10000000deadbeef", "1425521010001", "b8:27:eb:00:11:22", "0123456789abcdef0123456789abcdef"} <= set(words)


def test_the_page_shows_every_step_and_brings_nothing_from_outside() -> None:
    page = build_card_page(card(steps=steps(parity=Outcome.FAILED)))
    for step in steps():
        assert step.name in page
        assert step.text in page
    assert "Failed: parity. This card does not make the target verified." in page
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    for outside in ("http://", "https://", "<script", "src=", "@import", "url("):
        assert outside not in page
    assert build_card_page(card()) == build_card_page(card())
    assert "In profiles/ of edgert, this card makes the target verified on hardware." in build_card_page(card())


def test_the_page_of_an_emulated_board_says_so() -> None:
    page = build_card_page(card(Machine.EMULATED))
    assert "/run/fakeboard is there" in page
    assert "An emulator&#x27;s time says nothing about a board." in page
    assert "It did not run on real hardware" in page


def test_names_from_a_board_cannot_become_markup() -> None:
    device = dataclasses.replace(card().device, name="<script>alert(1)</script>")
    assert "<script>alert" not in build_card_page(card(device=device))
