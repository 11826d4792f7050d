"""What an app says of itself while it starts, runs and fails: its health file, systemd's socket, its exit code."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import edgert
from edgert.app import App, Scene, run_app
from edgert.app.health import NOT_COMPARED
from edgert.app.known_answers import SAME_ENGINE_SHARE
from edgert.bundle import Bundle, write_bundle
from edgert.onboard.health import Health, read_health
from tests import app_example as example

RELEASE = "0123456789abcdef"


def with_golden(folder: Path, off: float = 0.0) -> Path:
    """The example with what its first variant answers to two pictures; `off` is added to one of the answers."""
    plain = example.write(folder)
    inputs = np.random.default_rng(3).random((2, 1, 1, 32, 32), np.float32)
    with edgert.load(plain, variant=example.FIRST) as session:
        outputs = np.stack([session.run(sample)["logits"] for sample in inputs])
    outputs[1, 0, 7] += off
    buffer = io.BytesIO()
    np.savez(buffer, **{"input/image": inputs, f"{example.FIRST}/logits": outputs})  # type: ignore[arg-type]
    with Bundle.open(plain) as bundle:
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        return write_bundle(folder / "golden.edge", bundle.manifest, {**files, "golden.npz": buffer.getvalue()})


@pytest.fixture
def health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "health.json"
    monkeypatch.setenv("EDGERT_HEALTH_FILE", str(path))
    monkeypatch.setenv("EDGERT_RELEASE", RELEASE)
    return path


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield receiver


def received(manager: socket.socket) -> list[str]:
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(manager.recv(4096).decode())
    return found


class Watched:
    """An app whose own part looks at the health file at its first frame."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[Health | None] = []

    def app(self) -> App:
        def explain(options: object, model: object) -> object:
            self.seen.append(read_health(self.path))

            def look(frame: object, result: object, controls: object) -> Scene:
                if len(self.seen) < 3:
                    self.seen.append(read_health(self.path))
                return Scene(np.zeros((16, 16, 3), np.uint8), 1, ())

            return look

        return App("t", "w", explain)  # type: ignore[arg-type]


FLAGS = ("--headless", "--energy", "none", "--rate", "50", "--size", "64x48")


def test_it_is_ready_once_its_answers_are_right(tmp_path: Path, health: Path, manager: socket.socket) -> None:
    watched, out = Watched(health), io.StringIO()
    assert run_app(watched.app(), ["--bundle", str(with_golden(tmp_path)), *FLAGS, "--seconds", "0.5"], out) == 0
    assert received(manager) == ["READY=1", "STOPPING=1"]
    before, first, later = watched.seen
    assert before is not None and later is not None
    assert (before.phase, before.release, before.pid) == ("checking", RELEASE, os.getpid())
    assert (first is None or first.phase) in ("checking", "running")
    assert (later.phase, later.problem) == ("running", None)
    assert later.known_answers is not None
    assert (later.known_answers.samples, later.known_answers.allowed_steps) == (2, SAME_ENGINE_SHARE)
    assert not health.exists()
    assert json.loads(out.getvalue())["frames"] > 0


def test_wrong_answers_end_it_before_it_is_ready(
    tmp_path: Path, health: Path, manager: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = Watched(health)
    assert run_app(watched.app(), ["--bundle", str(with_golden(tmp_path, off=0.5)), *FLAGS]) == 1
    assert "error: the model's answers are wrong: output 'logits' of sample 1 is" in capsys.readouterr().err
    assert (watched.seen, received(manager)) == ([], [])
    found = read_health(health)
    assert found is not None
    assert (found.phase, found.release, found.is_healthy, found.known_answers) == ("failed", RELEASE, False, None)
    assert found.problem is not None
    assert found.problem.startswith("the model's answers are wrong: output 'logits' of sample 1 is")


def test_without_known_answers_it_runs_and_says_so(tmp_path: Path, health: Path) -> None:
    watched = Watched(health)
    words = ["--bundle", str(example.write(tmp_path)), *FLAGS, "--seconds", "0.5"]
    assert run_app(watched.app(), words, io.StringIO()) == 0
    later = watched.seen[-1]
    assert later is not None
    assert (later.phase, later.known_answers, later.problem) == ("running", None, NOT_COMPARED)


@pytest.mark.parametrize(
    ("words", "status", "problem"),
    [
        (["--bundle", "absent.edge"], 4, "absent.edge"),
        (["--input", "nowhere"], 2, "'nowhere' is neither a file nor a folder"),
        (["--address", "0.0.0.0"], 2, "EDGERT_PAGE_TOKEN"),
        (["--size", "big"], 2, "size is 'big'"),
    ],
)
def test_what_hinders_its_start_is_in_the_file(
    tmp_path: Path, health: Path, words: list[str], status: int, problem: str
) -> None:
    flags = ["--bundle", str(example.write(tmp_path)), *FLAGS, "--seconds", "1"]
    assert run_app(Watched(health).app(), [*flags, *words]) == status
    found = read_health(health)
    assert found is not None
    assert found.phase == "failed"
    assert problem in (found.problem or "")


def test_a_port_that_is_taken_is_in_the_file(tmp_path: Path, health: Path) -> None:
    pytest.importorskip("tornado")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        words = ["--bundle", str(example.write(tmp_path)), "--energy", "none", "--seconds", "1", "--port", port]
        assert run_app(Watched(health).app(), words) == 3
    found = read_health(health)
    assert found is not None
    assert f"port {port}" in (found.problem or "")


def test_a_mistake_of_an_app_is_in_the_file_and_raised(tmp_path: Path, health: Path) -> None:
    def explain(options: object, model: object) -> object:
        raise ZeroDivisionError("by zero")

    app = App("t", "w", explain)  # type: ignore[arg-type]
    with pytest.raises(ZeroDivisionError):
        run_app(app, ["--bundle", str(example.write(tmp_path)), *FLAGS, "--seconds", "1"])
    found = read_health(health)
    assert found is not None
    assert (found.phase, found.problem) == ("failed", "ZeroDivisionError: by zero")
