"""Eight boards get a release in waves: over real connections, with a bad one among them, interrupted, and resumed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgert.deploy.outcome import Outcome, Result
from edgert.deploy.rollout import run_waves
from edgert.deploy.table import exit_code_of
from edgert.deploy.waves import plan_waves
from edgert.devices.names import Device, find_devices
from edgert.devices.setup import read_board_facts
from edgert.devices.ssh import open_ssh
from tests.emulation.fleet import GROUP, Fleet, raised_fleet
from tests.emulation.laptop import Laptop
from tests.emulation.session import Done, await_that

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

RELEASE = "facts"


@pytest.fixture(scope="module")
def idle_fleet(laptop_key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    laptop = Laptop(tmp_path_factory.mktemp("home"), laptop_key)
    key = laptop_key.with_suffix(".pub").read_text()
    with raised_fleet(laptop, key, tmp_path_factory.mktemp("bundle")) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def fleet(idle_fleet: Fleet) -> Fleet:
    """Boards that all run version 1, by a rollout without a fault."""
    done = idle_fleet.deploy(1)
    assert done.status == 0, done.out + done.err
    assert set(outcomes(done).values()) == {"deployed"}
    assert [wave["devices"] for wave in done.json["waves"]] == [
        ["d0"],
        ["d1", "d2"],
        ["d3", "d4"],
        ["d5", "d6"],
        ["d7"],
    ]
    assert idle_fleet.versions() == [1] * 8
    return idle_fleet


def outcomes(done: Done) -> dict[str, str]:
    return {device["device"]: device["outcome"] for device in done.json["devices"]}


def reason(done: Done, name: str) -> str:
    (found,) = [device["reason"] for device in done.json["devices"] if device["device"] == name]
    return str(found)


def test_connections_of_a_wave_are_made_at_once(idle_fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATH", "EDGERT_SETTINGS"):
        monkeypatch.setenv(name, idle_fleet.laptop.env[name])
    monkeypatch.setenv("EDGERT_SILENCE_S", "20")

    def ask(device: Device) -> Outcome:
        start_s = time.monotonic()
        transport = open_ssh(device, is_unattended=True)
        try:
            facts: dict[str, Any] = read_board_facts(transport)
        finally:
            transport.close()
        seconds = time.monotonic() - start_s
        return Outcome(device.name, Result.DEPLOYED, None, RELEASE, RELEASE, seconds, {"board": facts["board"]})

    waves = plan_waves(find_devices(GROUP), canary=2, wave=6)
    idle_fleet.boards["d6"].link.down()
    try:
        rollout = run_waves(waves, ask, release=RELEASE, max_failures=1)
    finally:
        idle_fleet.boards["d6"].link.up()
    boards = [None if outcome.health is None else outcome.health["board"] for outcome in rollout.outcomes]
    models = [board.kind.model for board in idle_fleet.boards.values()]
    assert boards == [*models[:6], None, models[7]]
    assert rollout.outcomes[6].outcome is Result.UNREACHABLE
    assert "d6: " in str(rollout.outcomes[6].reason)
    assert exit_code_of(rollout) == 3


def test_a_bad_board_stops_the_rollout_and_the_rest_follows_when_it_is_well(fleet: Fleet) -> None:
    before = fleet.versions()
    version = max(before) + 1
    with fleet.boards["d3"].full_disk():
        done = fleet.deploy(version)
    assert done.status == 1
    found = outcomes(done)
    assert [found[name] for name in ("d0", "d1", "d2", "d4")] == ["deployed"] * 4
    assert found["d3"] == "refused"
    assert "the board's disk has 0 left" in reason(done, "d3")
    assert [found[name] for name in ("d5", "d6", "d7")] == ["not-started"] * 3
    assert done.json["stopped"] == "1 of 8 devices failed, d3; at most 0 may (10%)"
    assert fleet.versions() == [version] * 3 + [before[3], version, *before[5:]]

    done = fleet.deploy(version, "--resume")
    assert done.status == 0, done.out + done.err
    was_done = dict.fromkeys(("d0", "d1", "d2", "d4"), "unchanged")
    assert outcomes(done) == was_done | dict.fromkeys(("d3", "d5", "d6", "d7"), "deployed")
    assert fleet.versions() == [version] * 8


def test_a_canary_that_is_off_stops_everything(fleet: Fleet) -> None:
    before = fleet.versions()
    fleet.boards["d0"].link.down()
    try:
        done = fleet.deploy(max(before) + 1)
    finally:
        fleet.boards["d0"].link.up()
    assert done.status == 3
    assert outcomes(done) == dict.fromkeys(fleet.boards, "not-started") | {"d0": "unreachable"}
    assert str(done.json["stopped"]).startswith("canary d0: unreachable (d0: ")
    assert fleet.versions() == before


def test_ctrl_c_lets_the_boards_of_the_wave_come_to_their_end(fleet: Fleet) -> None:
    before = fleet.versions()
    version = max(before) + 1
    running = fleet.start_deploy(version)
    await_that(lambda: fleet.state("d1")["trial"] is not None, "d1 is not deployed to", 600.0)
    running.interrupt()
    done = running.end(600.0)
    assert done.status == 130
    later = [name for name in fleet.boards if name > "d2"]
    assert outcomes(done) == dict.fromkeys(("d0", "d1", "d2"), "deployed") | dict.fromkeys(later, "not-started")
    assert done.json["stopped"] == "interrupted"
    assert fleet.versions() == [version] * 3 + before[3:]
