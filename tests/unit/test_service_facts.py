"""Which limits of apps a board ignores, read from trees as boards have them, and what `doctor` makes of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgert.commands.checks import service_checks
from edgert.onboard.facts import read_facts
from edgert.onboard.service_facts import read_service_facts

# Raspberry Pi OS 12: the firmware's command line has cgroup_disable=memory
PI_CGROUPS = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t0\t81\t1\ncpu\t0\t81\t1\nmemory\t0\t81\t0\n"
ALL = "cpuset cpu io memory pids"


def tree(root: Path, *, controllers: str, delegated: str, cgroups: str = "") -> Path:
    user = f"user.slice/user-{os.getuid()}.slice/user@{os.getuid()}.service"
    for name, text in (("", controllers), (user, delegated)):
        place = root / "sys/fs/cgroup" / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "cgroup.controllers").write_text(text + "\n")
    (root / "proc").mkdir()
    (root / "proc/cgroups").write_text(cgroups)
    return root


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Gives the board a program, a line of shell; it has none of systemd's and cron's before that."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/usr/bin{os.pathsep}/bin")

    def put(name: str, line: str) -> None:
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)

    put("systemctl", "echo 'Failed to connect to bus: No medium found' >&2; exit 1")
    put("loginctl", "echo no")
    return put


def lines(service: dict[str, Any]) -> dict[str, str]:
    return {check.name: f"{check.value} -> {check.remedy}" for check in service_checks(service)}


def test_memory_limits_of_raspberry_pi_os_are_reported(board: Callable[[str, str], None], tmp_path: Path) -> None:
    board("systemctl", "echo 252.39-1~deb12u2")
    found = read_service_facts(
        tree(tmp_path / "pi", controllers="cpuset cpu io pids", delegated="cpu pids", cgroups=PI_CGROUPS)
    )
    assert (found["systemd"], found["linger"], found["limits"], found["memory_controller"]) == (
        252,
        False,
        ["cpu", "pids"],
        False,
    )
    shown = lines(found)
    assert shown["app limits"].startswith(
        "ignored: memory -> add cgroup_enable=memory to the line of /boot/firmware/cmdline.txt"
    )
    assert "sudo loginctl enable-linger" in shown["apps at boot"]


def test_controllers_that_the_user_is_not_given_are_reported(board: Callable[[str, str], None], tmp_path: Path) -> None:
    board("systemctl", "echo 249")
    found = read_service_facts(tree(tmp_path / "jetson", controllers=ALL, delegated="memory pids"))
    shown = lines(found)["app limits"]
    assert shown.startswith("ignored: cpu -> printf '[Service]\\nDelegate=cpu memory pids\\n' | sudo install")


def test_a_board_that_keeps_all_limits_says_so(board: Callable[[str, str], None], tmp_path: Path) -> None:
    board("systemctl", "echo 252.39-1~deb12u2")
    board("loginctl", "echo yes")
    shown = lines(read_service_facts(tree(tmp_path / "b", controllers=ALL, delegated="cpu memory pids")))
    assert shown == {
        "apps": "systemd 252 -> None",
        "apps at boot": "start with nobody logged in -> None",
        "app limits": "memory, cpu, pids -> None",
    }


def test_version_1_of_control_groups_is_read_too(tmp_path: Path, board: object) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cgroups").write_text(PI_CGROUPS.replace("81\t0", "81\t1"))
    assert read_service_facts(tmp_path)["memory_controller"]
    assert not read_service_facts(tmp_path / "nothing")["memory_controller"]


def test_a_board_without_systemd_is_no_finding(board: Callable[[str, str], None], tmp_path: Path) -> None:
    found = read_facts(None, 0, tmp_path)["service"]
    assert found["systemd"] is None
    assert found["linger"] is None
    checks = list(service_checks({**found, "cron": False}))
    assert "nothing starts it at boot" in checks[0].value
    assert "cron starts it" in next(service_checks({**found, "cron": True})).value
    assert not any(check.finding for check in checks)
    assert list(service_checks(None)) == []  # facts of a device that was added before there were apps
