"""The processes that measure on a device load what measures, and nothing of the laptop's side."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAPTOP = (
    "edgert.cli",
    "edgert.commands",
    "edgert.devices",
    "edgert.recipe_file",
    "edgert_converters",
    "edgert_targets",
)
PROFILER_OF_THE_LAPTOP = ("report", "compare", "record_files", "record_table", "sweep", "tuning", "crew", "board")


@pytest.mark.parametrize("worker", ["profiler.worker", "profiler.race_worker", "runtime.worker"])
def test_a_worker_loads_nothing_of_the_laptop(worker: str) -> None:
    script = f"import sys, edgert.{worker}; print('\\n'.join(sys.modules))"
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    banned = [*LAPTOP, *(f"edgert.profiler.{name}" for name in PROFILER_OF_THE_LAPTOP)]
    assert [
        name for name in loaded if any(name == bad or name.startswith((f"{bad}.", f"{bad}_")) for bad in banned)
    ] == []
    assert "numpy" in loaded
