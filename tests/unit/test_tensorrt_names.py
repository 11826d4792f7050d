"""The names that edgert takes from TensorRT's module, in NVIDIA's own bindings of several releases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [Path(word) for word in os.environ.get("EDGERT_TENSORRT_BINDINGS", "").split(os.pathsep) if word]
GONE_IN_11 = ["BuilderFlag.FP16", "BuilderFlag.INT8", "NetworkDefinitionCreationFlag.EXPLICIT_BATCH"]
"""All of them asked for with a way out: networks are strongly typed there, and batches always explicit."""


@pytest.mark.skipif(
    not FOLDERS, reason="no unpacked wheel tensorrt-cu12-bindings; name folders in EDGERT_TENSORRT_BINDINGS"
)
@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_every_name_is_there(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "tensorrt_names.py", folder],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("missing") == (GONE_IN_11 if int(found.pop("version").partition(".")[0]) >= 11 else [])
    assert found == {"errors": "no way", "times_ms": {"layer": [0.5]}, "half": "HALF"}
