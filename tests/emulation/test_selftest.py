"""The self-test of one board on which nothing is set up, its card, and what Ctrl-C leaves."""

from __future__ import annotations

import getpass
import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgert.profiler.card import Card, Machine, Outcome, load_card
from tests.emulation.board import EmulatedBoard
from tests.emulation.laptop import Laptop
from tests.emulation.session import Done, add, await_idle, await_that, kept_files, start

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

NAME = "kitchen-pi"
WHOLE_S = 660.0
NO_CHANCE = "300"
"""Seconds of silence: a processor that many share may leave a board without a word for long."""


@dataclass(frozen=True)
class TriedBoard:
    """A board whose self-test has ended, and what came of it."""

    board: EmulatedBoard
    laptop: Laptop
    done: Done

    @property
    def path(self) -> Path:
        return Path(self.done.json["path"])

    @property
    def card(self) -> Card:
        return load_card(self.path)


@pytest.fixture(scope="module")
def tested(laptop_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TriedBoard]:
    laptop = Laptop(tmp_path_factory.mktemp("home"), laptop_key)
    with EmulatedBoard("pi4", authorized_key=laptop_key.with_suffix(".pub").read_text()) as board:
        add(laptop, board, NAME)
        words = ("selftest", "--device", NAME, "-o", laptop.home / "cards", "--json")
        done = start(laptop, *words, EDGERT_SILENCE_S=NO_CHANCE).end(WHOLE_S)
        yield TriedBoard(board, laptop, done)


def test_every_step_is_taken_on_a_board_that_knows_nothing_of_edgert(tested: TriedBoard) -> None:
    outcomes = {step.name: step.outcome for step in tested.card.steps}
    texts = {step.name: step.text for step in tested.card.steps}
    assert {name for name, outcome in outcomes.items() if outcome is not Outcome.PASSED} == {"energy", "deploy"}, texts
    assert tested.done.status == 0
    assert outcomes["energy"] is outcomes["deploy"] is Outcome.SKIPPED
    assert texts["set-up"].startswith("set up offline")
    assert texts["energy"].startswith("not measured: ")
    assert texts["deploy"] == "not in this version of edgert"
    figures = {step.name: step.figures for step in tested.card.steps}
    for engine in ("onnxruntime", "litert"):
        assert figures["parity"][engine]["interpreter_steps"] == 0
        assert figures["parity"][engine]["int8_steps"] == 0
        assert figures["parity"][engine]["layers"] > 10
    assert 0 < figures["upload cut off"]["resumed_at"] <= figures["upload cut off"]["bytes"] // 2
    assert figures["upload cut off"]["hash_is_right"] is True


def test_the_card_says_that_the_board_is_emulated_and_verifies_nothing(tested: TriedBoard) -> None:
    card = tested.card
    assert card.target == "raspberry-pi-4"
    assert card.device.board == "Raspberry Pi 4 Model B Rev 1.4"
    assert card.surroundings.machine is Machine.EMULATED
    assert "the parent process runs a program for x86_64 on aarch64" in card.surroundings.seen
    assert card.is_passed
    assert not card.verifies
    assert {record.engine.name for record in card.records} == {"onnxruntime", "litert"}


def test_nothing_in_card_and_page_says_whose_board_it_is(tested: TriedBoard) -> None:
    secrets = [NAME, tested.board.address, "deadbeef", "pi@", "/home/", str(tested.laptop.home)]
    secrets += [f'"{platform.node()}"', f"{getpass.getuser()}@"]
    for file in (tested.path, tested.path.with_suffix(".html")):
        text = file.read_text()
        assert [secret for secret in secrets if secret in text] == []
    values = json.dumps([step.text for step in tested.card.steps])
    assert platform.node() not in values


def test_nothing_of_it_is_left_on_the_board(tested: TriedBoard) -> None:
    await_idle(tested.board)
    assert kept_files(tested.board) == []


def test_ctrl_c_leaves_nothing_on_the_board(tested: TriedBoard) -> None:
    words = ("selftest", "--device", NAME, "-o", tested.laptop.home / "none")
    running = start(tested.laptop, *words, EDGERT_SILENCE_S=NO_CHANCE)
    await_that(lambda: any("selftest.edge" in name for name in kept_files(tested.board)), "nothing was sent", 200.0)
    running.interrupt()
    done = running.end(120.0)
    assert done.status == 130
    await_idle(tested.board)
    assert kept_files(tested.board) == []
    assert list((tested.laptop.home / "none").iterdir()) == []
