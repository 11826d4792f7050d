"""What an app says of its health in a file, and how others read it."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import pytest

from edgert.app.health import NOT_COMPARED, HealthFile
from edgert.app.loop import Controls, Loop
from edgert.app.model import AppModel
from edgert.app.notify import Notifier
from edgert.app.sensors import SensorThread
from edgert.onboard.health import Health, KnownAnswers, Latencies, health_text, read_health
from tests import app_example as example

WHOLE = Health(
    pid=7,
    release="0123456789abcdef",
    phase="running",
    known_answers=KnownAnswers(4, 1.0, 4.0),
    frames=9,
    is_healthy=True,
    fps=15.0,
    inference_ms=Latencies(9, 1.0, 2.0, 3.0),
    energy_mj=12.5,
    power_source="rapl",
    page="127.0.0.1:8080",
    monotonic_s=100.0,
)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    path.write_text(health_text(WHOLE))
    assert read_health(path) == WHOLE
    assert WHOLE.age_s(103.5) == 3.5
    empty = Health(1, None, "loading")
    path.write_text(health_text(empty))
    assert read_health(path) == empty
    assert empty.age_s() > 0


def test_the_file_holds_what_the_documents_say(tmp_path: Path) -> None:
    found = json.loads(health_text(WHOLE))
    assert set(found) == {field.name for field in dataclasses.fields(Health)}
    assert found["inference_ms"] == {"count": 9, "p50": 1.0, "p95": 2.0, "p99": 3.0}
    assert found["known_answers"] == {"samples": 4, "max_steps": 1.0, "allowed_steps": 4.0, "unit": "steps"}


def test_keys_of_a_newer_edgert_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    path.write_text(json.dumps({**json.loads(health_text(WHOLE)), "more": 1}))
    assert read_health(path) == WHOLE


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"phase": "dancing"},
        {"pid": "7"},
        {"pid": True},
        {"frames": 1.5},
        {"is_healthy": 1},
        {"fps": None},
        {"problem": 3},
        {"known_answers": []},
        {"known_answers": {"samples": 4}},
        {"inference_ms": {"count": 1, "p50": "1", "p95": 1, "p99": 1}},
        {"monotonic_s": None},
    ],
)
def test_a_file_that_says_something_else_is_none(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "health.json"
    path.write_text(json.dumps({**json.loads(health_text(WHOLE)), **change}))
    assert read_health(path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"schema": 1}', "[" * 60_000, "\0" * 70_000, "\xff"])
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "health.json"
    path.write_text(text, encoding="latin-1")
    assert read_health(path) is None


def test_no_file_is_none(tmp_path: Path) -> None:
    assert read_health(tmp_path / "absent.json") is None
    assert read_health(tmp_path) is None


class NoFrames:
    """A source that gives nothing; the loop ends at its first round."""

    def read(self, timeout_s: float) -> None:
        return None

    def health(self) -> object:
        from edgert.app.frames import SourceHealth

        return SourceHealth("none", problem="it ended")

    def close(self) -> None: ...


def test_phases_follow_one_another(tmp_path: Path) -> None:
    path = tmp_path / "health.json"
    health = HealthFile({"EDGERT_HEALTH_FILE": str(path), "EDGERT_RELEASE": "0123456789abcdef"})

    def said() -> Health:
        found = read_health(path)
        assert found is not None
        assert (found.pid, found.release) == (os.getpid(), "0123456789abcdef")
        assert found.age_s() < 60
        return found

    health.loading()
    assert (said().phase, said().known_answers) == ("loading", None)
    health.checking()
    assert said().phase == "checking"
    answers = KnownAnswers(2, 1.0, 4.0)
    health.checked(answers)
    model, sensors = AppModel(example.write(tmp_path)), SensorThread("none")
    loop = Loop(NoFrames(), Controls(model, 0.5), lambda *_: None, lambda _: None, sensors, Notifier({}))  # type: ignore[arg-type]
    health.watch(loop, sensors, "127.0.0.1:8080")
    health.alive()
    found = said()
    assert (found.phase, found.known_answers, found.page) == ("running", answers, "127.0.0.1:8080")
    assert (found.is_healthy, found.frames, found.inference_ms, found.problem) == (False, 0, None, "it ended")
    health.failed("the port is taken")
    assert (said().phase, said().problem) == ("failed", "the port is taken")
    health.ended()
    assert list(tmp_path.glob("health*")) == []
    sensors.close()
    model.close()


def test_it_is_written_once_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "health.json"
    clock = iter((1000.0, 1000.0, 1000.3, 1000.9, 1001.1, 1001.1, 1001.2))  # read again where it is written
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    health = HealthFile({"EDGERT_HEALTH_FILE": str(path)})
    written = []
    for _ in range(5):
        health.alive()
        found = read_health(path)
        assert found is not None
        written.append(found.monotonic_s)
    assert written == [1000.0, 1000.0, 1000.0, 1001.1, 1001.1]


def test_a_place_that_cannot_be_written_is_passed_over(tmp_path: Path) -> None:
    health = HealthFile({"EDGERT_HEALTH_FILE": str(tmp_path / "absent" / "health.json")})
    health.loading()
    health.alive()
    health.ended()
    nowhere = HealthFile({})
    nowhere.loading()
    nowhere.ended()
    assert nowhere.release is None


def test_what_was_not_compared_is_said(tmp_path: Path) -> None:
    assert "nothing was compared" in NOT_COMPARED
