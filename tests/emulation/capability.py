"""Whether this machine can raise emulated boards, and if not, why not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_PROGRAMS = ("mmdebstrap", "update-binfmts", "ip", "tc", "iptables", "unshare", "nsenter", "ssh", "ldconfig")


def why_not() -> str | None:
    """Returns the reason for which no board can be raised here, or None; turns on the emulator if it is only off."""
    if sys.platform != "linux":
        return "emulated boards need Linux"
    if os.geteuid() != 0:
        return "emulated boards need root: network namespaces and mounts"
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"emulated boards need {', '.join(missing)}: .ci/debian installs them"
    return _why_no_namespace() or _why_no_overlay() or _why_no_emulator()


def why_no_machine() -> str | None:
    """Returns the reason for which no whole machine can be started here, or None."""
    missing = [name for name in ("qemu-system-aarch64", "mke2fs") if shutil.which(name) is None]
    if missing:
        return f"emulated machines need {', '.join(missing)}: .ci/debian installs them"
    return why_not()


def _why_no_namespace() -> str | None:
    command = ["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "true"]
    tried = subprocess.run(command, check=False, capture_output=True, text=True)
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else None


def _why_no_overlay() -> str | None:
    kinds = Path("/proc/filesystems").read_text().split()
    return None if "overlay" in kinds else "this kernel has no overlay filesystem"


def _why_no_emulator() -> str | None:
    if not (_BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(_BINFMT)], check=False, capture_output=True)
    entry = _BINFMT / "qemu-aarch64"
    if not entry.exists():
        subprocess.run(["update-binfmts", "--enable", "qemu-aarch64"], check=False, capture_output=True)
    if not entry.exists():
        return "arm64 programs do not start here: binfmt_misc has no qemu-aarch64 (package qemu-user-static)"
    flags = next(line for line in entry.read_text().splitlines() if line.startswith("flags:"))
    return None if "F" in flags else f"binfmt_misc knows qemu-aarch64 without flag F ({flags}); boards could not see it"
