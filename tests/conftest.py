"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "zoo"


@pytest.fixture(scope="session")
def zoo() -> Path:
    """Folder of real models and data."""
    folder = Path(os.environ.get("EDGERT_ZOO", _BESIDE))
    if not (folder / "MANIFEST.md").is_file():
        pytest.skip(f"real models and data not found in {folder}; set EDGERT_ZOO")
    return folder
