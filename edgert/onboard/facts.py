"""What a board says about itself, read from /proc, /sys and /etc; what it does not tell is None.

`root` exists so that the readers can be tried on recorded trees of other boards.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgert.onboard.service_facts import read_service_facts

__all__ = ["APP_PACKAGES", "ENGINE_PACKAGES", "read_facts"]

ENGINE_PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "ai-edge-litert", "tflite-runtime", "tensorrt")
APP_PACKAGES = ("opencv-python-headless", "tornado")
"""What apps need beside an engine: they come with the first app."""
_TOOL_TIMEOUT_S = 5.0


def read_facts(environment: Path | None, free_bytes: int, root: Path = Path("/")) -> dict[str, Any]:
    """Returns the facts as JSON values (hence Any).

    Args:
        environment: site-packages of the private environment, where there is one.
        free_bytes: room on the disk that edgert's folder lies on.
        root: where /proc, /sys and /etc are.
    """
    cpuinfo = _text(root / "proc/cpuinfo") or ""
    compatible = (_text(root / "proc/device-tree/compatible") or "").split("\0")
    return {
        "board": _text(root / "proc/device-tree/model") or _text(root / "sys/class/dmi/id/product_name"),
        "compatible": [name for name in compatible if name],
        "jetson_release": _text(root / "etc/nv_tegra_release"),
        "system": _os_name(_text(root / "etc/os-release") or ""),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "bits": 8 * struct.calcsize("P"),
        "cores": os.cpu_count(),
        "cpu_features": _first_field(cpuinfo, ("Features", "flags")).split(),
        "cpu_part": _first_field(cpuinfo, ("CPU part", "model name")) or None,
        "memory_bytes": _memory_bytes(_text(root / "proc/meminfo") or ""),
        "disk_free_bytes": free_bytes,
        "python": platform.python_version(),
        "python_implementation": sys.implementation.name,
        "libc": _libc(),
        "has_pip": importlib.util.find_spec("pip") is not None,
        "openssh": _openssh_version(),
        "engines": {} if environment is None else _versions([str(environment)], ENGINE_PACKAGES),
        "app_packages": {} if environment is None else _versions([str(environment)], APP_PACKAGES),
        "system_engines": _versions(sys.path, ENGINE_PACKAGES),
        "service": read_service_facts(root),
    }


def _versions(path: list[str], wanted: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=path):
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if name in wanted:
            found.setdefault(name, distribution.version)
    return dict(sorted(found.items()))


def _text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _first_field(cpuinfo: str, names: tuple[str, ...]) -> str:
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in names:
            return value.strip()
    return ""


def _memory_bytes(meminfo: str) -> int | None:
    for line in meminfo.splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal" and value.split():
            return int(value.split()[0]) * 1024
    return None


def _os_name(release: str) -> str | None:
    for line in release.splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip('"')
    return None


def _libc() -> list[str]:
    """Name and version of the C library: wheels are made for it."""
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
    except (ValueError, OSError):
        return ["unknown", ""]
    return [name, version]


def _openssh_version() -> str | None:
    program = shutil.which("ssh")
    if program is None:
        return None
    try:
        done = subprocess.run([program, "-V"], capture_output=True, timeout=_TOOL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stderr.decode(errors="replace").partition(",")[0].strip() or None
