"""As tests/apps/test_power_cut.py, on an emulated board: its disk stays, everything else is gone at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import app_example
from tests.apps.boards import APP, plain_bundle
from tests.emulation import session
from tests.emulation.board import EmulatedBoard
from tests.emulation.conftest import MakeBoard
from tests.emulation.laptop import Laptop

pytestmark = [pytest.mark.emulation, pytest.mark.slow]

BASE = "/home/pi/.local/share/edgert"
HOOK = """
import sys, time

def hear(event, words):
    if event != "edgert.step":
        return
    with open("/dev/shm/steps", "a+") as file:
        file.write(words[0] + "\\n")
        file.flush()
        file.seek(0)
        count = len(file.readlines())
    try:
        with open("/home/pi/cut") as file:
            after = int(file.read())
    except OSError:
        return
    if count == after:
        open("/dev/shm/reached", "w").close()
        time.sleep(3600)

sys.addaudithook(hear)
"""
COMMON = ("--device", "pi", "--ready-s", "120", "--alive-s", "1", "--json")
SETTINGS = (
    "--set",
    "input=synthetic",
    "--set",
    "rate=4",
    "--set",
    "energy=none",
    "--set",
    "threads=1",
    "--set",
    "port=0",
)


def act(laptop: Laptop, action: str, bundle: Path, top: int) -> session.Running:
    words: tuple[object, ...] = ("rollback", *COMMON)
    if action == "deploy":
        folder = app_example.ROOT / "apps" / APP
        words = (
            "deploy",
            folder,
            *COMMON,
            "--bundle",
            bundle,
            "--offline",
            *SETTINGS,
            "--set",
            f"top={top}",
            "--slower",
            "50",
        )
    return session.start(laptop, *words, EDGERT_SILENCE_S="30")


def power_on(board: EmulatedBoard) -> None:
    """Starts the board, and what a user has made it start (the command that `edgert status` prints)."""
    board.power_on()
    start = (
        f"env HOME=/home/pi PYTHONPATH={BASE}/apps/{APP}/launcher python3 -m edgert.onboard.plain_service {BASE} {APP}"
    )
    as_pi = f"setpriv --reuid=pi --regid=pi --clear-groups {start}"
    board.shell(f"rm -f /home/pi/cut; test ! -e {BASE}/apps/{APP}/launcher || {as_pi}")


def has_reached(board: EmulatedBoard, doing: session.Running) -> bool:
    """Waits for the cut; False where the command came to its end before."""
    reached = board.root / "dev/shm/reached"
    session.await_that(lambda: doing.has_ended or reached.exists(), "neither a cut nor an end", 280)
    return reached.exists()


def running(laptop: Laptop) -> dict[str, object]:
    """The app's state once it processes frames."""
    for _ in range(30):
        done = session.edgert(laptop, "status", "--device", "pi", "--json", timeout_s=120, EDGERT_SILENCE_S="30")
        (app,) = done.json["apps"]
        if app["health"] is not None and app["health"]["is_healthy"]:
            found: dict[str, object] = {**app["state"], "runs": app["health"]["release"]}
            return found
    raise AssertionError(f"nothing works: {done.out} {done.err}")


@pytest.mark.parametrize("action", ["deploy", "rollback"])
def test_the_power_is_cut_after_every_step(make_board: MakeBoard, laptop: Laptop, tmp_path: Path, action: str) -> None:
    bundle = plain_bundle(tmp_path)
    board = make_board("pi5")
    session.add(laptop, board)
    for top in (1, 2):
        done = act(laptop, "deploy", bundle, top).end(280)
        assert done.status == 0, done.out + done.err
    (board.root / "usr/lib/python3/dist-packages/sitecustomize.py").write_text(HOOK)
    cut, top = 0, 3
    while True:
        cut, top = cut + 1, top + 1
        before = running(laptop)
        (board.root / "home/pi/cut").write_text(str(cut))
        board.shell("rm -f /dev/shm/steps /dev/shm/reached")
        doing = act(laptop, action, bundle, top)
        if not has_reached(board, doing):
            done = doing.end()
            assert done.status == 0, done.out + done.err
            break
        board.power_cut()
        done = doing.end(120)
        assert done.status == 3, done.out
        power_on(board)
        after = running(laptop)
        assert after["trial"] is None
        assert after["runs"] == after["trusted"]
        known = {before["trusted"], before["previous"]}
        assert (after["trusted"] in known) or action == "deploy"
        apps = [found for found in board.processes() if "app.py" in found.command]
        assert len(apps) == 1, apps
    assert cut > (11 if action == "deploy" else 5), json.dumps(cut)
