"""The power is cut after every single step of a deploy and of a rollback: then exactly one working version runs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgert.onboard.health import read_health
from tests.apps.boards import APP, changed_bundle, deploy, outcome, plain_bundle, ready_board
from tests.native_board import NAME, Done, NativeBoard, await_that, make_native_board

KEPT = ("apps", "files", "admitted", "code")
"""What a deploy changes on a board; the environment it does not."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    plain = plain_bundle(tmp_path_factory.mktemp("bundle"))
    return {"plain": plain, "wrong": changed_bundle(plain, "wrong.edge", "weights")}


@pytest.fixture(scope="module")
def board(bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeBoard]:
    """A board with two releases, the newer of which runs."""
    made = make_native_board(tmp_path_factory.mktemp("board"))
    try:
        ready_board(made, bundles["plain"])
        for top in (1, 2):
            assert outcome(deploy(made, "--bundle", bundles["plain"], "--set", f"top={top}"))["outcome"] == "deployed"
        made.cut_power()
        (made.folder / "kept").mkdir()
        copy(made.base, made.folder / "kept")
        yield made
    finally:
        made.cut_power()


def copy(source: Path, target: Path) -> None:
    """Copies what is kept, with its hard links."""
    there = [source / name for name in KEPT if (source / name).exists()]
    subprocess.run(["cp", "--archive", *there, target], check=True)


def act(board: NativeBoard, action: str, bundles: dict[str, Path]) -> Done:
    if action == "rollback":
        return board.edgert("rollback", "--device", NAME, "--alive-s", "0.2", "--json")
    model = bundles["wrong" if action == "failing deploy" else "plain"]
    return deploy(board, "--bundle", model, "--set", "top=3", "--alive-s", "0.2")


def start_anew(board: NativeBoard) -> tuple[str, str]:
    """The board as it was, with its power on; returns the release that runs and the one before."""
    board.cut_power()
    board.cut_power_after(None)
    for name in KEPT:
        shutil.rmtree(board.base / name, ignore_errors=True)
    copy(board.folder / "kept", board.base)
    board.power_on(APP)
    state = json.loads((board.base / f"apps/{APP}/state.json").read_text())
    return state["trusted"], state["previous"]


def await_running(board: NativeBoard, releases: set[str]) -> str:
    """Waits until the app processes frames, and returns its release, which must be one of these."""
    found: list[str] = []

    def runs() -> bool:
        pids = app_processes(board)
        for path in Path("/dev/shm").glob(f"edgert-*/{APP}-*/health.json"):
            health = read_health(path)
            if health is not None and health.pid in pids and health.is_healthy and health.release is not None:
                found[:] = [health.release]
        return bool(found)

    await_that(runs, f"nothing works: {board.processes()}")
    assert found[0] in releases
    return found[0]


def app_processes(board: NativeBoard) -> list[int]:
    return [number for number, words in board.processes().items() if "app.py" in words]


SLOW = [pytest.param(action, marks=pytest.mark.slow) for action in ("rollback", "failing deploy")]


@pytest.mark.parametrize("action", ["deploy", *SLOW])
def test_the_power_is_cut_after_every_step(board: NativeBoard, bundles: dict[str, Path], action: str) -> None:
    running, previous = start_anew(board)
    board.cut_power_after(None)
    (board.folder / "cut").write_text("-1")
    done = act(board, action, bundles)
    steps = board.steps
    assert done.status == (1 if action == "failing deploy" else 0), done.out + done.err
    final = json.loads((board.base / f"apps/{APP}/state.json").read_text())["trusted"]
    assert (final in {running, previous}) == (action != "deploy")
    assert (final == running) == (action == "failing deploy")
    assert len(steps) >= {"deploy": 11, "failing deploy": 12, "rollback": 5}[action], steps
    for cut in range(1, len(steps) + 1):
        start_anew(board)
        board.cut_power_after(cut)
        assert act(board, action, bundles).status == 3  # the laptop hears that the board is gone
        assert board.steps == steps[:cut]
        board.cut_power_after(None)
        board.cut_power()
        board.power_on(APP)
        await_running(board, {running, final})
        assert len(app_processes(board)) == 1, steps[cut - 1]
        state = json.loads((board.base / f"apps/{APP}/state.json").read_text())
        assert state["trusted"] in {running, final}
        if cut == len(steps) // 2:  # what the cut left does not stand in the way of the next
            assert outcome(deploy(board, "--bundle", bundles["plain"], "--set", "top=4"))["outcome"] == "deployed"
