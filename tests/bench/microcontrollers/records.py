"""What made and ran the code that is counted, for the record."""

from __future__ import annotations

import platform
import shutil
import subprocess

from edgert.target import load_module


def describe_tools() -> dict[str, str]:
    """Returns what made and ran the code."""
    return {
        "compiler": _first_line("arm-none-eabi-gcc", "--version"),
        "options": " ".join(load_module("cortex-m", "build").OPTIONS),
        "emulator": _first_line("qemu-system-arm", "--version"),
        "emulator_options": "-icount shift=0",
        "computer": f"{platform.system()} {platform.machine()}",
    }


def _first_line(program: str, option: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(program)
    return subprocess.run([found, option], capture_output=True, text=True, check=True).stdout.splitlines()[0]
