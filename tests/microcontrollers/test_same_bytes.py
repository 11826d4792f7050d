"""The same model gives the same C in every process, whatever order Python's sets happen to have there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgert_converters.exporters.c import Instructions
from tests.microcontrollers.test_exact import MODELS

_CHILD = """
import hashlib, sys
from pathlib import Path
from edgert_converters.exporters.c import Core, Instructions, export_c
from edgert_converters.importers import import_model
from tests.microcontrollers.c_program import read_kernel
path, instructions, limit = sys.argv[1:]
model = import_model(Path(path), {}).model
arena = int(limit) or None
folder = export_c(model, Core("any", Instructions(instructions)), read_kernel, name="model", max_arena_bytes=arena)
for name, data in folder.files.items():
    print(name, hashlib.sha256(data).hexdigest())
"""
# arena that strips of rows must fit, or 0
_LIMITS = {"ic": 24_576, "kws": 9_216, "vww": 38_912}


def _digests(model: Path, instructions: Instructions, limit: int, seed: str) -> str:
    command = [sys.executable, "-c", _CHILD, str(model), instructions.value, str(limit)]
    here = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("name", "instructions"),
    [
        ("kws", Instructions.DSP),
        *(
            pytest.param(name, instructions, marks=pytest.mark.slow)
            for name in MODELS
            for instructions in Instructions
            if (name, instructions) != ("kws", Instructions.DSP)
        ),
    ],
)
def test_two_processes_write_the_same_bytes(name: str, instructions: Instructions, zoo: Path) -> None:
    model, limit = zoo / "models" / f"{MODELS[name]}.tflite", _LIMITS.get(name, 0)
    first, second = (_digests(model, instructions, limit, seed) for seed in ("1", "2"))
    assert "model.c" in first
    assert first == second
