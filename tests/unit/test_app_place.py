"""Where an app's model runs: here, on a microcontroller, and where neither is possible."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from edgert.app import Controls, Frame, Scene
from edgert.app.frames import Array, SourceHealth
from edgert.app.loop import Loop
from edgert.app.model import AppModel, Timed
from edgert.app.notify import Notifier
from edgert.app.place import Place
from edgert.app.sensors import SensorThread
from edgert.errors import DeviceError, UsageError
from edgert.runtime.results import Result
from tests import app_example


def test_here_without_a_device(tmp_path: Path) -> None:
    opened = Place().open(app_example.write(tmp_path), app_example.SECOND)
    assert opened.session.variant.id == app_example.SECOND
    opened.close()


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("local:", "--device local: is no microcontroller; bring the app there with edgert deploy"),
        ("ssh://pi@board", "is no microcontroller"),
        ("nobody", "no device 'nobody'"),
    ],
)
def test_what_is_no_microcontroller(device: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AppModel(Path("net.edge"), place=Place(device))


def test_a_microcontroller_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"socket://127\.0\.0\.1:1: cannot be reached"):
        AppModel(app_example.write(tmp_path), place=Place("socket://127.0.0.1:1"))


def test_a_microcontroller_has_no_threads() -> None:
    with pytest.raises(UsageError, match="qemu:microbit is a microcontroller; it has no --threads"):
        Place("qemu:microbit", 2)


def test_boards_carry_no_lines_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "edgert.devices.names", raising=False)
    monkeypatch.delitem(sys.modules, "edgert.devices", raising=False)
    monkeypatch.setattr("sys.meta_path", [Without(), *sys.meta_path])
    with pytest.raises(UsageError, match="--device needs the whole of edgert on this computer"):
        Place("qemu:microbit").open(Path("net.edge"), None)


class Without:
    """An import system in which edgert.devices was never installed, as on a board."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.startswith("edgert.devices"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class Board:
    """A microcontroller that is lost and comes back; its real twin is in tests/microcontrollers/test_keyword_app.py."""

    def __init__(self, model: AppModel, is_remote: bool) -> None:
        self.model, self.is_remote, self.asked = model, is_remote, 0

    def run(self, values: Array) -> Timed:
        self.asked += 1
        if self.asked == 2:
            raise DeviceError("serial:///dev/ttyACM0: the line is gone")
        return self.model.run(values)


class Frames:
    """Frames without an end; what the loop said was wrong when it asked for each."""

    def __init__(self) -> None:
        self.problems: list[str | None] = []
        self.loop: Loop | None = None

    def read(self, timeout_s: float) -> Frame | None:
        assert self.loop is not None
        self.problems.append(self.loop.state().problem)
        if len(self.problems) > 4:
            self.loop.stop()
            return None
        return Frame(np.zeros((48, 64, 3), np.uint8), time.monotonic(), len(self.problems))

    def health(self) -> SourceHealth:
        return SourceHealth("frames")

    def close(self) -> None: ...


def run_loop(board: Board) -> list[str | None]:
    def nothing(frame: Frame, result: Result, controls: Controls) -> Scene:
        return Scene(frame.values, frame.sequence, ())

    frames, sensors = Frames(), SensorThread("none")
    controls = Controls(cast(AppModel, board), 0.5)
    frames.loop = Loop(frames, controls, nothing, lambda scene: None, sensors, Notifier({}))
    try:
        frames.loop.run()
    finally:
        sensors.close()
        board.model.close()
    return frames.problems


def test_the_loop_goes_on_without_its_microcontroller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgert.app.loop.AGAIN_S", 0.0)
    board = Board(AppModel(app_example.write(tmp_path)), is_remote=True)
    assert run_loop(board) == [None, None, "serial:///dev/ttyACM0: the line is gone", None, None]


def test_an_engine_here_that_fails_ends_the_app(tmp_path: Path) -> None:
    board = Board(AppModel(app_example.write(tmp_path)), is_remote=False)
    with pytest.raises(DeviceError, match="the line is gone"):
        run_loop(board)
