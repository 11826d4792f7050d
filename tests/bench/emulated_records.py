"""The raw record of a bench in an emulator: every cell, the tools and the commit, as JSON under profiles/emulated/."""

from __future__ import annotations

import dataclasses
import datetime
import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench.quantization.data import ROOT

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SCHEMA = 1
FOLDER = ROOT / "profiles" / "emulated"


def write_record(kind: str, cells: Iterable[DataclassInstance], environment: Mapping[str, str]) -> Path:
    """Writes the cells and returns where: KIND and the day."""
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    record = {
        "schema": SCHEMA,
        "created": today,
        "commit": _current_commit(),
        "environment": dict(environment),
        "cells": [dataclasses.asdict(cell) for cell in cells],
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{kind}-{today}.json"
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


def _current_commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
