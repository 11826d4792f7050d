"""The raw record: every cell, the tools and the commit, as JSON under profiles/emulated/."""

from __future__ import annotations

import dataclasses
import datetime
import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.arm.counts import Counts
from tests.bench.quantization.data import ROOT

SCHEMA = 1
FOLDER = ROOT / "profiles" / "emulated"


@dataclass(frozen=True)
class Cell:
    """One file on one core. `counts` are those of the last inference, `inferences` the instructions of each."""

    core: str
    model: str
    file: str
    format: str
    counts: Counts
    inferences: tuple[int, ...]


def write_record(cells: Iterable[Cell], environment: Mapping[str, str]) -> Path:
    """Writes the cells and returns where."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    record = {
        "schema": SCHEMA,
        "created": today,
        "commit": commit,
        "environment": dict(environment),
        "cells": [dataclasses.asdict(cell) for cell in cells],
    }
    path = FOLDER / f"arm-{today}.json"
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
