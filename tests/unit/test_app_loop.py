"""The loop and what it keeps about itself, the model behind it, systemd's messages, settings."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgert.app import App, Scene
from edgert.app.frames import Frame, SourceHealth
from edgert.app.loop import CHART_POINTS, Controls, Loop
from edgert.app.model import AppModel
from edgert.app.notify import Notifier
from edgert.app.options import Options, check_setting, parse_options, read_settings
from edgert.app.producers import moving_pattern
from edgert.app.run import run_app
from edgert.app.sensors import SensorThread
from edgert.app.statistics import LatencyHistogram, RateWindow, Window
from edgert.errors import InputFileError, UsageError
from edgert.runtime.results import Classification, Result
from tests import app_example as example


@pytest.fixture
def model(tmp_path: Path) -> Iterator[AppModel]:
    model = AppModel(example.write(tmp_path))
    yield model
    model.close()


@pytest.fixture
def sensors() -> Iterator[SensorThread]:
    sensors = SensorThread("none")
    yield sensors
    sensors.close()


class Pictures:
    """So many frames, one for each read, then nothing."""

    def __init__(self, count: int, shape: tuple[int, ...] = (48, 64, 3)) -> None:
        self.left, self.shape, self.on_end = count, shape, lambda: None

    def read(self, timeout_s: float) -> Frame | None:
        if not self.left:
            self.on_end()
            return None
        self.left -= 1
        return Frame(np.zeros(self.shape, np.uint8), 0.0, self.left)

    def health(self) -> SourceHealth:
        return SourceHealth("pictures", problem=None if self.left else "it ended")

    def close(self) -> None: ...


def nothing_found(frame: Frame, result: Result, controls: Controls) -> Scene:
    assert isinstance(result, Classification)
    return Scene(frame.values, frame.sequence, ())


def run_loop(source: Pictures, model: AppModel, sensors: SensorThread, notifier: Notifier) -> tuple[Loop, list[Scene]]:
    scenes: list[Scene] = []
    loop = Loop(source, Controls(model, 0.5), nothing_found, scenes.append, sensors, notifier)
    source.on_end = loop.stop
    loop.run()
    return loop, scenes


def test_every_stage_of_every_frame_is_counted(model: AppModel, sensors: SensorThread) -> None:
    loop, scenes = run_loop(Pictures(7), model, sensors, Notifier({}))
    state = loop.state()
    assert (state.frames, len(scenes), state.is_healthy, state.problem) == (7, 7, True, "it ended")
    assert {name: stage.count for name, stage in state.stages.items()} == dict.fromkeys(state.stages, 7)
    inference, total = state.stages["inference"], state.stages["camera_to_result"]
    assert inference.p50_ms is not None and total.p50_ms is not None
    assert 0 < inference.p50_ms < total.p50_ms


def test_without_frames_it_is_not_healthy(model: AppModel, sensors: SensorThread) -> None:
    loop, _ = run_loop(Pictures(0), model, sensors, Notifier({}))
    assert (loop.state().is_healthy, loop.state().fps, loop.state().stages["inference"].p99_ms) == (False, 0.0, None)


def test_a_picture_that_does_not_fit_is_said_and_passed_over(model: AppModel, sensors: SensorThread) -> None:
    loop, _ = run_loop(Pictures(2, (48, 64, 5)), model, sensors, Notifier({}))
    assert loop.state().frames == 0
    assert "expected an image" in (loop.state().problem or "")


def test_charts_keep_five_minutes(model: AppModel, sensors: SensorThread) -> None:
    loop, _ = run_loop(Pictures(3), model, sensors, Notifier({}))
    assert loop.points.maxlen == CHART_POINTS == 300


def test_variants_are_switched_between_two_frames(model: AppModel) -> None:
    picture = moving_pattern(0, 48, 64)
    before = model.run(picture).result
    model.switch(example.SECOND)
    assert model.variant == example.SECOND
    after = model.run(picture).result
    assert isinstance(before, Classification) and isinstance(after, Classification)
    assert np.array_equal(before.scores, after.scores)
    with pytest.raises(UsageError, match=r"no variant 'onnx-fp23'.*did you mean"):
        model.switch("onnx-fp23")


def test_percentiles_are_right_to_two_percent() -> None:
    histogram = LatencyHistogram()
    values = np.random.default_rng(0).lognormal(1, 1, 20_000)
    for value in values:
        histogram.add(float(value))
    for share in (0.5, 0.95, 0.99):
        assert histogram.percentile_ms(share) == pytest.approx(np.quantile(values, share), rel=0.03)
    summary = histogram.summary()
    assert (summary.count, summary.max_ms) == (20_000, values.max())
    assert summary.mean_ms == pytest.approx(values.mean())


def test_rings_forget_the_oldest() -> None:
    window, rate = Window(3), RateWindow(span_s=2.0, size=8)
    assert window.median() is None
    for value in (100.0, 1.0, 2.0, 3.0):
        window.add(value)
    assert window.median() == 2.0
    for index in range(100):
        rate.add(index * 0.5)
    assert rate.per_second(49.5) == pytest.approx(2.0)
    assert rate.per_second(200.0) == 0.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The other end of $NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        yield receiver


def received(manager: socket.socket) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(manager.recv(4096).decode())
    return found


def test_systemd_hears_from_the_loop_itself(
    tmp_path: Path, manager: socket.socket, model: AppModel, sensors: SensorThread
) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "4", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier(environment)
    run_loop(Pictures(3), model, sensors, notifier)
    notifier.stopping()
    assert received(manager) == ["READY=1", *["WATCHDOG=1"] * 4, "STOPPING=1"]


def test_the_watchdog_is_not_fed_more_than_asked(tmp_path: Path, manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3600000000"})
    for _ in range(100):
        notifier.alive()
    notifier.status("two\nlines")
    notifier.stopping()
    notifier.alive()
    assert received(manager) == ["WATCHDOG=1", "STATUS=two lines", "STOPPING=1"]


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_abstract_sockets_and_a_watchdog_meant_for_another() -> None:
    name = f"edgert-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "4", "WATCHDOG_PID": "1"})
        assert not notifier.is_watched
        notifier.ready()
        notifier.alive()
        notifier.stopping()
        assert received(receiver) == ["READY=1", "STOPPING=1"]


def test_settings_come_from_a_file_and_the_command_line_wins(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"bundle": "net.edge", "rate": 5, "headless": True, "variant": None}))
    options = parse_options(["--settings", str(path), "--rate", "7"], "words", {"threshold": 0.3})
    assert options == Options(bundle=str(tmp_path / "net.edge"), rate=7.0, headless=True, threshold=0.3)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("portt", 80, r"here: no setting 'portt'.*did you mean 'port'"),
        ("port", "80", "here: port is '80'; it must be of type int"),
        ("port", True, "port is True"),
        ("rate", None, "rate is None; it must be of type float"),
    ],
)
def test_settings_are_checked(name: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_setting(name, value, "here")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bundle": ""}, "no model: --bundle FILE.edge"),
        ({"threshold": 2000.0}, "threshold is 2000.0; allowed: 0 to 1000"),
        ({"hop": 1.0}, "hop is 1.0; allowed: 5 to 10000"),
        ({"size": "big"}, "size is 'big'; as in 640x480"),
    ],
)
def test_options_are_checked(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Options(**{"bundle": "net.edge", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "message"), [("{", "cannot be read as settings"), ("[]", "settings are an object")])
def test_a_settings_file_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(InputFileError, match=message):
        read_settings(path)


def test_an_error_is_one_line_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    app = App("t", "w", lambda options, model: nothing_found)
    assert run_app(app, ["--bundle", "absent.edge"]) == 4
    assert capsys.readouterr().err.startswith("error: ")


def test_a_threshold_beyond_what_the_app_knows(capsys: pytest.CaptureFixture[str]) -> None:
    app = App("t", "w", lambda options, model: nothing_found)
    assert run_app(app, ["--bundle", "absent.edge", "--threshold", "1.5"]) == 2
    assert "threshold is 1.5; allowed: 0 to 1" in capsys.readouterr().err


@pytest.mark.parametrize("folder", sorted(example.ROOT.glob("apps/*/app.py")), ids=lambda path: path.parent.name)
def test_apps_are_short_and_their_settings_exist(folder: Path) -> None:
    if sys.version_info < (3, 11):
        pytest.skip("tomllib starts at Python 3.11")
    import tomllib

    assert len(folder.read_text().splitlines()) < 150
    settings = tomllib.loads(folder.with_name("edgert.toml").read_text())
    assert settings["schema"] == 1
    for name, value in settings["app"].items():
        check_setting(name, value, str(folder))
    assert folder.with_name("README.md").is_file()
