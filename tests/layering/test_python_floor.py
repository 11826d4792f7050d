"""The device side on other Pythons, the oldest with numpy 1.26: where an interpreter with both packages is found."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests import bundle_example as example

ROOT = Path(__file__).parents[2]


def interpreter(version: str) -> str:
    """A Python of that version that has numpy and onnxruntime; nothing is ever installed."""
    named = os.environ.get(f"EDGERT_PYTHON_{version.replace('.', '_')}")
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    candidates = [named, shutil.which(f"python{version}"), *map(str, pyenv)]
    for candidate in filter(None, candidates):
        probe = [candidate, "-c", "import numpy, onnxruntime, sys; print('%d.%d' % sys.version_info[:2])"]
        result = subprocess.run(probe, capture_output=True, text=True, check=False)
        if result.stdout.strip() == version:
            return candidate
    pytest.skip(
        f"no Python {version} with numpy and onnxruntime; name one in EDGERT_PYTHON_{version.replace('.', '_')}"
    )


@pytest.mark.parametrize("version", ["3.10", "3.13"])
def test_run_and_profile(version: str, tmp_path: Path) -> None:
    python = interpreter(version)
    path = example.write(tmp_path)
    x = np.ones((2, 4), np.float32)
    np.save(tmp_path / "x.npy", x)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    run = [python, "-m", "edgert", "run", str(path), "--input", "x.npy", "--output", "y.npz", "--variant", "onnx-int8"]
    profile = [python, "-m", "edgert", "profile", str(path), "--duration", "100ms", "-o", "r.json"]
    for command in (run, profile):
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "y.npz") as written:
        assert np.abs(written["y"] - example.reference(x)).max() <= 1 / 32
    assert (tmp_path / "r.json").is_file()
