"""The text of an app's systemd unit.

It is for the manager of a user, which runs without privileges. Source: systemd.exec(5), systemd.service(5) and
systemd.resource-control(5), systemd 252.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgert.onboard.launch import NO_RELEASE
from edgert.onboard.service import Limits, ServiceError

__all__ = ["SANDBOX", "UnitFacts", "unit_text"]

SANDBOX = {
    # without a user namespace the manager of a user ignores the next lines; groups (video, audio, dialout) stay
    "PrivateUsers": "yes",
    "PrivateTmp": "yes",
    "ProtectSystem": "strict",  # all is read-only but /dev, /proc, /sys and homes
    "ProtectHome": "read-only",  # homes too, but ReadWritePaths and RuntimeDirectory
    "ProtectControlGroups": "yes",  # else the app could lift its own limits
}
"""Needs namespaces, which not every kernel lets a user make: left out where a trial of it fails."""
_HARDENED = {
    "NoNewPrivileges": "yes",
    "RestrictSUIDSGID": "yes",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "LockPersonality": "yes",
    "SystemCallArchitectures": "native",
    "SystemCallFilter": "~@clock @cpu-emulation @debug @module @mount @obsolete @raw-io @reboot @swap",
    "SystemCallErrorNumber": "EPERM",
    "UMask": "0077",
    "LimitCORE": "0",
    "OOMScoreAdjust": "500",  # when memory runs out, the app goes and logins stay
}
_STEPS_SINCE = 254
"""systemd's version that knows RestartSteps and RestartMaxDelaySec."""
_READY_WITHIN_S = 900
"""An engine may build its plan at the first start, which takes TensorRT minutes."""
_LAST_END = 'echo "$EXIT_CODE $EXIT_STATUS" >"$RUNTIME_DIRECTORY/last"'


@dataclass(frozen=True)
class UnitFacts:
    """What the text depends on: edgert's folder, the app, the board's Python, its systemd, and what may be used."""

    base: Path
    name: str
    python: Path
    version: int
    has_sandbox: bool
    limits: Limits


def unit_text(facts: UnitFacts) -> str:
    """Returns the unit.

    Raises:
        ServiceError: a path cannot be written into a unit.
    """
    launcher = facts.base / "apps" / facts.name / "launcher"
    start = " ".join(_word(word) for word in (str(facts.python), "-m", "edgert.onboard.launch", str(facts.base)))
    service = [
        "Type=notify",
        "NotifyAccess=main",
        f"Environment={_word(f'PYTHONPATH={launcher}', is_command=False)}",
        f"ExecStart={start} {facts.name}",
        f"ExecStopPost=-/bin/sh -c {_word(_LAST_END)}",
        f"RuntimeDirectory=edgert-{facts.name}",
        "RuntimeDirectoryMode=0700",
        "RuntimeDirectoryPreserve=restart",
        f"TimeoutStartSec={_READY_WITHIN_S}",
        "WatchdogSec=30",
        "TimeoutAbortSec=10",
        "TimeoutStopSec=15",
        "KillMode=mixed",
        "Restart=always",
        f"RestartPreventExitStatus={NO_RELEASE}",
        *_back_off(facts.version),
        *_limits(facts.limits),
        *_lines(_HARDENED),
        *(_sandbox(facts) if facts.has_sandbox else []),
    ]
    head = ["[Unit]", f"Description=edgert app {facts.name}", "StartLimitIntervalSec=0"]
    return "\n".join([*head, "", "[Service]", *service, "", "[Install]", "WantedBy=default.target", ""])


def _back_off(version: int) -> list[str]:
    if version < _STEPS_SINCE:
        return ["RestartSec=5"]
    return ["RestartSec=1", "RestartSteps=6", "RestartMaxDelaySec=60"]


def _limits(limits: Limits) -> list[str]:
    found = {
        "MemoryMax": None if limits.memory_percent is None else f"{limits.memory_percent}%",
        "CPUQuota": None if limits.cpu_percent is None else f"{limits.cpu_percent}%",
        "TasksMax": None if limits.tasks is None else str(limits.tasks),
    }
    return _lines({key: value for key, value in found.items() if value is not None})


def _sandbox(facts: UnitFacts) -> list[str]:
    cache = facts.base / "cache"
    compiled = cache / "python" / facts.name  # the code itself is read-only
    return [
        *_lines(SANDBOX),
        f"ReadWritePaths={_word(f'-{cache}', is_command=False)} -%t/edgert-{facts.name}",
        f"Environment={_word(f'PYTHONPYCACHEPREFIX={compiled}', is_command=False)}",
        "BindReadOnlyPaths=-/tmp/argus_socket",  # of a Jetson's CSI cameras
        "InaccessiblePaths=-%t/bus -%t/systemd/private",  # else it could have the manager start what it likes
    ]


def _lines(settings: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]


def _word(text: str, *, is_command: bool = True) -> str:
    """Quotes a word: blanks, quotes, %-specifiers and, in commands, variables stay what they are."""
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in text):
        raise ServiceError(f"a service cannot be made for a path with control characters: {text!r}")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped.replace("$", "$$") if is_command else escaped}"'
