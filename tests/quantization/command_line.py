"""Runs the real command line in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "tests" / "data" / "recipes"
_TIME_LIMIT_S = 240


@dataclass(frozen=True, slots=True)
class Done:
    """How one command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The document on stdout."""
        return json.loads(self.stdout)


def edgert(*words: object) -> Done:
    """Runs `edgert WORDS` and returns how it ended; no traceback may ever come of it."""
    command = [sys.executable, "-m", "edgert", *map(str, words)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=_TIME_LIMIT_S)
    assert "Traceback" not in process.stderr, process.stderr
    return Done(process.returncode, process.stdout, process.stderr)
