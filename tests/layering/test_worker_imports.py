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


@pytest.mark.parametrize(
    "worker", ["profiler.worker", "profiler.race_worker", "profiler.card_worker", "runtime.worker"]
)
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


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_the_worker_without_a_model_fits_its_budget() -> None:
    """Above numpy, before an engine is loaded; tests/bench/worker_memory.py measures it with engines and models."""

    def resident_mb(imports: str) -> float:
        script = f"import {imports}; print([line for line in open('/proc/self/status') if line.startswith('VmRSS')][0])"
        environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return int(done.stdout.split()[1]) * 1024 / 1e6

    assert resident_mb("edgert.profiler.worker") - resident_mb("numpy") < 12.0
