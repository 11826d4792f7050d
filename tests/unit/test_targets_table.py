from __future__ import annotations

from pathlib import Path

from edgert.profiler.card import Machine, Outcome, verified_targets, write_card
from edgert.target import get_target, list_targets
from edgert_targets.table import PAGE, PROFILES, render, render_boards, with_card, with_tables, write_verified
from tests.card_example import card, steps

NAME = "raspberry-pi-4"
FACTS = 'schema = 1\nextends = "arm-cpu"\ntitle = "Raspberry Pi 4 Model B"\ncores = 4\n'


def row_of(table: str, name: str = NAME) -> str:
    (row,) = [row for row in table.splitlines() if row.startswith(f"| `{name}` |")]
    return row


def test_the_page_is_what_make_docs_writes() -> None:
    assert PAGE.read_text() == with_tables(PAGE.read_text())


def test_boards_that_nobody_has_seen_say_so() -> None:
    rows = render({}).splitlines()[2:]
    real = [
        name
        for name in list_targets()
        if (board := get_target(name).microcontroller) is not None and board.flasher is not None
    ]
    for name in real:
        assert "not verified on hardware" in row_of(render({}), name)
    assert sum("| emulator |" in row for row in rows) == len(rows) - len(real)
    assert all("| not verified on hardware |" in row for row in render_boards({}).splitlines()[2:])


def test_a_good_card_turns_the_tables_to_verified(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    write_card(tmp_path / NAME / "card-raspberry-pi-4-2026-03-01.json", card())
    verified = verified_targets(tmp_path)
    table = render_boards(verified)
    assert "| [verified](../profiles/raspberry-pi-4/card-raspberry-pi-4-2026-03-01.json) |" in row_of(table)
    assert "not verified on hardware" in row_of(table, "raspberry-pi-5")
    assert "not verified on hardware" in row_of(table, "arm-cpu")


def test_an_emulated_or_failed_card_turns_nothing(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    for number, made in enumerate((card(Machine.EMULATED), card(steps=steps(parity=Outcome.FAILED)))):
        write_card(tmp_path / NAME / f"card-{number}.json", made)
    assert row_of(render_boards(verified_targets(tmp_path))).endswith("| not verified on hardware |")


def test_the_facts_follow_the_cards(tmp_path: Path) -> None:
    path = tmp_path / "raspberry_pi_4" / "target.toml"
    path.parent.mkdir()
    path.write_text(FACTS)
    write_verified({NAME: "raspberry-pi-4/card-1.json"}, tmp_path)
    assert (
        'title = "Raspberry Pi 4 Model B"\nhardware_verified = "profiles/raspberry-pi-4/card-1.json"\n'
        in path.read_text()
    )
    write_verified({NAME: "raspberry-pi-4/card-2.json"}, tmp_path)
    assert path.read_text().count("hardware_verified") == 1
    assert "card-2.json" in path.read_text()
    write_verified({}, tmp_path)
    assert path.read_text() == FACTS


def test_no_target_is_verified_but_by_a_card_of_its_own() -> None:
    verified = {name: f"profiles/{card}" for name, card in verified_targets(PROFILES).items()}
    assert {name: get_target(name).hardware_verified for name in list_targets()} == {
        name: verified.get(name) for name in list_targets()
    }
    assert with_card(FACTS, None) == FACTS
