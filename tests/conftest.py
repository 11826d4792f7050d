"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "zoo"


@pytest.fixture(autouse=True)
def settings_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder where a test stores what it tunes: what the user has tuned neither counts in tests nor is touched."""
    folder = tmp_path / "settings"
    monkeypatch.setenv("EDGERT_SETTINGS", str(folder))
    return folder


@pytest.fixture(autouse=True)
def records_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder that a test's profiles are added to."""
    folder = tmp_path / "records-of-the-test"
    monkeypatch.setenv("EDGERT_RECORDS", str(folder))
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of measurements of this computer that starts empty: what the user's own cache says changes messages."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("EDGERT_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def zoo() -> Path:
    """Folder of real models and data."""
    folder = Path(os.environ.get("EDGERT_ZOO", _BESIDE))
    if not (folder / "MANIFEST.md").is_file():
        pytest.skip(f"real models and data not found in {folder}; set EDGERT_ZOO")
    return folder
