"""Eight boards that are this computer get a release in waves; one cannot run it. Emulated ones: tests/emulation."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.apps.boards import APP, QUICK, SOURCE, plain_bundle
from tests.native_board import Done, NativeBoard, await_that, make_native_board

NAMES = tuple(f"d{number}" for number in range(8))
GROUP = "shelf"
BAD = "d3"
STATUS = 7
_SSH = """#!/bin/sh
[ "$1" = -V ] && exec /usr/bin/ssh -V
# the last two words are the board and the command
for word; do board=$command; command=$word; done
exec "$0-$board" "$command"
"""
_BREAKS = f"""
import json, os, sys
if "app.py" in sys.orig_argv and json.load(open("settings.json"))["top"] > 1:
    os._exit({STATUS})
"""


@dataclass(frozen=True)
class Fleet:
    """The boards by name, and a laptop that knows them as `GROUP`."""

    boards: dict[str, NativeBoard]
    laptop: NativeBoard
    bundle: Path

    def deploy(self, version: int, *words: object) -> Done:
        """Rolls a version out; each is a release of its own."""
        given = ("deploy", SOURCE, "--bundle", self.bundle, "--device", GROUP, "--offline", *QUICK, "--slower", 1000)
        return self.laptop.edgert(*given, "--set", f"top={version}", "--wave", "25%", "--json", *words)

    def version(self, name: str) -> int:
        """Which version a board trusts; its app runs, and is that."""
        apps = self.boards[name].base / "apps" / APP
        release = json.loads((apps / "state.json").read_text())["trusted"]
        (app,) = [number for number, words in self.boards[name].processes().items() if "app.py" in words]
        assert f"EDGERT_RELEASE={release}".encode() in Path(f"/proc/{app}/environ").read_bytes().split(b"\0")
        return int(json.loads((apps / "releases" / release / "settings.json").read_text())["top"])

    def versions(self) -> dict[str, int]:
        """The versions of all boards."""
        return {name: self.version(name) for name in self.boards}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Version 1 runs on all; it was deployed to the first, the homes of the others are copies."""
    folder = tmp_path_factory.mktemp("fleet")
    boards = {name: make_native_board(folder / name) for name in NAMES}
    laptop = _laptop(folder, boards)
    fleet = Fleet(boards, laptop, plain_bundle(folder))
    with ExitStack() as at_the_end:
        for board in boards.values():
            at_the_end.callback(board.cut_power)
        for name in boards:
            laptop.json("devices", "add", name, f"ssh://somebody@{name}")
        laptop.json("devices", "group", GROUP, "d0")
        done = fleet.deploy(1)
        if done.status and "no wheels of" in done.out:
            pytest.skip(f"no packages for boards: {done.out}")
        assert done.status == 0, done.out + done.err
        boards["d0"].cut_power()
        for name in NAMES[1:]:
            subprocess.run(["cp", "--archive", f"{boards['d0'].home}/.", str(boards[name].home)], check=True)
        for name, board in boards.items():
            board.power_on(APP)
            await_that(partial(_runs, board), f"{name} does not come up")
        laptop.json("devices", "group", GROUP, ",".join(NAMES))
        yield fleet


def _laptop(folder: Path, boards: Mapping[str, NativeBoard]) -> NativeBoard:
    """One that reaches all boards, by their names."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(_SSH)
    (programs / "ssh").chmod(0o755)
    for name, board in boards.items():
        (programs / f"ssh-{name}").symlink_to(Path(board.environment["PATH"].split(os.pathsep)[0]) / "ssh")
    own = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "EDGERT_SETTINGS": str(folder / "settings")}
    return dataclasses.replace(boards["d0"], environment={**boards["d0"].environment, **own})


def _runs(board: NativeBoard) -> bool:
    return any("app.py" in words for words in board.processes().values())


def outcomes(done: Done) -> dict[str, str]:
    return {device["device"]: device["outcome"] for device in done.json["devices"]}


@pytest.mark.slow
def test_one_bad_board_stops_the_rollout_and_the_rest_follows_when_it_is_well(fleet: Fleet) -> None:
    (site,) = fleet.boards[BAD].base.glob("environments/*/lib/python3*/site-packages")
    (site / "sitecustomize.py").write_text(_BREAKS)
    done = fleet.deploy(2)
    assert done.status == 1, done.out + done.err
    assert [wave["devices"] for wave in done.json["waves"]] == [
        ["d0"], ["d1", "d2"], ["d3", "d4"], ["d5", "d6"], ["d7"],
    ]  # fmt: skip
    found = outcomes(done)
    assert [name for name, outcome in found.items() if outcome == "deployed"] == ["d0", "d1", "d2", "d4"]
    assert [name for name, outcome in found.items() if outcome == "not-started"] == ["d5", "d6", "d7"]
    assert found[BAD] == "rolled-back"
    assert f"it ended with status {STATUS}" in done.json["devices"][3]["reason"]
    assert done.json["stopped"] == "1 of 8 devices failed, d3; at most 0 may (10%)"
    assert fleet.versions() == dict.fromkeys(NAMES, 1) | dict.fromkeys(("d0", "d1", "d2", "d4"), 2)

    (site / "sitecustomize.py").unlink()
    done = fleet.deploy(2, "--resume")
    assert done.status == 0, done.out + done.err
    went_before = dict.fromkeys(("d0", "d1", "d2", "d4"), "unchanged")
    assert outcomes(done) == dict.fromkeys(NAMES, "deployed") | went_before
    assert fleet.versions() == dict.fromkeys(NAMES, 2)
    assert set(outcomes(fleet.deploy(2, "--resume")).values()) == {"unchanged"}
