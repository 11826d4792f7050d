"""The raw record: every cell, the tools and the commit, as JSON under profiles/emulated/."""

from __future__ import annotations

import dataclasses
import datetime
import json
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgert.target import load_module
from tests.bench.microcontrollers.boards import ROOT
from tests.bench.microcontrollers.measure import Cell

SCHEMA = 1
FOLDER = ROOT / "profiles" / "emulated"


def describe_tools() -> dict[str, str]:
    """Returns what made and ran the code."""
    return {
        "compiler": _first_line("arm-none-eabi-gcc", "--version"),
        "options": " ".join(load_module("cortex-m", "build").OPTIONS),
        "emulator": _first_line("qemu-system-arm", "--version"),
        "emulator_options": "-icount shift=0",
        "computer": f"{platform.system()} {platform.machine()}",
    }


def write_record(cells: Iterable[Cell], commit: str) -> Path:
    """Writes the cells and returns where."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    record = {
        "schema": SCHEMA,
        "created": today,
        "commit": commit,
        "environment": describe_tools(),
        "cells": [dataclasses.asdict(cell) for cell in cells],
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"microcontrollers-{today}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def read_record(path: Path) -> dict[str, Any]:  # Any: JSON
    """Returns a record.

    Raises:
        ValueError: it is of another schema, or says nothing of the tools.
    """
    record: dict[str, Any] = json.loads(path.read_text())
    if record.get("schema") != SCHEMA or not record.get("environment"):
        raise ValueError(f"{path} is no record of schema {SCHEMA} with its environment")
    return record


def _first_line(program: str, option: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise FileNotFoundError(program)
    return subprocess.run([found, option], capture_output=True, text=True, check=True).stdout.splitlines()[0]
