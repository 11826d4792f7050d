"""What a board offers to keep apps running and limited: systemd, lingering, control groups."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from edgert.onboard.linger import is_lingering
from edgert.onboard.service import ServiceError
from edgert.onboard.systemd import manager_version

__all__ = ["read_service_facts"]

_CONTROLLERS = ("memory", "cpu", "pids")


def read_service_facts(root: Path) -> dict[str, Any]:
    """Returns JSON values (hence Any); `root` is where /proc and /sys are.

    `systemd` is the version of the user's manager, `limits` which controllers it may use for the user's services,
    `memory_controller` whether the kernel has that one switched on: Raspberry Pi OS has not.
    """
    try:
        version = manager_version()
        linger = None if version is None else is_lingering()
    except ServiceError:  # it hangs, which is as good as none
        version = linger = None
    user = f"user.slice/user-{os.getuid()}.slice/user@{os.getuid()}.service"
    ours = _words(root / "sys/fs/cgroup" / user / "cgroup.controllers")
    return {
        "systemd": version,
        "linger": linger,
        "cron": shutil.which("crontab") is not None,
        "limits": [name for name in _CONTROLLERS if name in ours],
        "memory_controller": _has_memory_controller(root),
    }


def _has_memory_controller(root: Path) -> bool:
    if "memory" in _words(root / "sys/fs/cgroup/cgroup.controllers"):
        return True
    try:  # version 1: name, hierarchy, number of groups, whether it is on
        lines = (root / "proc/cgroups").read_text().splitlines()
    except OSError:
        return False
    return any(line.split()[::3] == ["memory", "1"] for line in lines)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
