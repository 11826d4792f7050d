"""What status, logs and open say; tests/apps has them with boards."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgert.commands import logs
from edgert.commands.apps_text import status_text
from edgert.commands.open import page_port
from edgert.deploy.deployment import Apps
from edgert.deploy.tunnel import Tunnel
from edgert.devices.names import Device
from edgert.devices.ssh_login import parse_login
from edgert.errors import DeviceError, UsageError

SERVICE = {
    "is_ready": True,
    "is_active": True,
    "restarts": 0,
    "starts_at_boot": True,
    "starts_at_boot_reason": None,
}
HEALTH = {
    "is_healthy": True,
    "fps": 14.96,
    "phase": "running",
    "problem": None,
    "page": "127.0.0.1:8080",
    "inference_ms": {"p95": 12.3456},
}
STATE = {"trusted": "a" * 16, "trial": None, "previous": None}
PI = Device("pi", "ssh://pi@pi.local")


def row(**changes: Any) -> dict[str, Any]:
    return {"device": "pi", "app": "detect", "state": STATE, "service": SERVICE, "health": HEALTH, **changes}


def test_status_in_words() -> None:
    text = status_text(
        [
            row(),
            row(app="ill", health={**HEALTH, "is_healthy": False, "problem": "no camera"}),
            row(app="new", state={**STATE, "trial": "b" * 16}, service={**SERVICE, "is_ready": False, "restarts": 3}),
            row(app="gone", health=None, service={**SERVICE, "is_active": False, "is_ready": False}),
            row(app="loose", service={**SERVICE, "starts_at_boot": False, "starts_at_boot_reason": "no cron"}),
            {"device": "bare", "app": None},
            {"device": "far", "app": None, "error": "far: no route"},
        ]
    )
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[2:] == [
        "pi detect aaaaaaaaaaaaaaaa ready 15 frames/s, p95 12.35 ms yes",
        "pi ill aaaaaaaaaaaaaaaa ready running: no camera yes",
        "pi new bbbbbbbbbbbbbbbb (trial) starting, 3 restarts 15 frames/s, p95 12.35 ms yes",
        "pi gone aaaaaaaaaaaaaaaa stopped says nothing yes",
        "pi loose aaaaaaaaaaaaaaaa ready 15 frames/s, p95 12.35 ms no",
        "bare no apps",
        "far unreachable",
        "pi: no cron",
        "far: far: no route",
    ]
    assert status_text([]) == "no apps"


class _StandInApps(Apps):
    """A board whose log and status are given."""

    def __init__(self, texts: Iterator[str] | None = None, rows: list[dict[str, Any]] | None = None) -> None:
        self.device, self._texts, self._rows = PI, texts or iter(()), rows or []

    def log(self, app: str, lines: int) -> str:
        return next(self._texts)

    def status(self, app: str | None = None) -> list[dict[str, Any]]:
        return self._rows

    def close(self) -> None:
        """Nothing is open."""


def test_a_log_that_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_EVERY_S", 0.0)
    texts = iter(["a\nb\n", "a\nb\n", "b\nc\nc\n", "c\nc\nc\n", "x\ny\n"])
    assert list(itertools.islice(logs.follow_log(_StandInApps(texts), "detect"), 5)) == ["c", "c", "c", "x", "y"]


def test_the_app_that_is_meant() -> None:
    assert _StandInApps(rows=[row()]).only_app(None) == "detect"
    assert _StandInApps().only_app("named") == "named"
    with pytest.raises(UsageError, match="pi: no app was deployed there"):
        _StandInApps().only_app(None)
    with pytest.raises(UsageError, match="pi: there are detect, ill: say which with --app"):
        _StandInApps(rows=[row(), row(app="ill")]).only_app(None)


@pytest.mark.parametrize(
    ("health", "words"),
    [
        (None, "pi: detect does not say how it is; see edgert status and edgert logs --device pi"),
        ({**HEALTH, "page": None, "problem": "no camera"}, "pi: detect no camera;"),
        ({**HEALTH, "page": None}, r"pi: detect has no page \(running\);"),
    ],
)
def test_no_page(monkeypatch: pytest.MonkeyPatch, health: dict[str, Any] | None, words: str) -> None:
    monkeypatch.setattr("edgert.commands.open.open_apps", lambda device: _StandInApps(rows=[row(health=health)]))
    with pytest.raises(DeviceError, match=words):
        page_port(PI, None)


def test_a_tunnel_leads_one_port_and_does_nothing_else() -> None:
    words = parse_login("ssh://pi@pi.local:2222").tunnel_command(9000, 8080)
    assert words[-5:] == ["-N", "-L", "127.0.0.1:9000:127.0.0.1:8080", "--", "pi.local"]
    assert "ExitOnForwardFailure=yes" in words
    assert "ClearAllForwardings=yes" not in words
    assert "StrictHostKeyChecking=yes" in words


def test_a_port_that_is_taken_here() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port} is taken on this computer"):
            Tunnel(PI, 8080, port)


def test_a_tunnel_that_does_not_come_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ssh"
    program.write_text("#!/bin/sh\necho 'ssh: connect to host pi.local port 22: No route to host' >&2\nexit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DeviceError, match="pi: it cannot be reached: is it on"):
        Tunnel(PI, 8080)
