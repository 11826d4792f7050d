"""A recipe with the small problem, and where its evaluations are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.search import problems

RECIPE = """\
schema = 1

[search]
kind = "python"
python = "tests.search.problems:make"
algorithm = "random"
evaluations = 9
limits = ["latency_ms <= 25"]
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "evaluated.jsonl"
    monkeypatch.setenv(problems.LOG, str(path))
    return path


@pytest.fixture
def recipe(tmp_path: Path, log: Path) -> Callable[..., Path]:
    """Writes a recipe; the lines given replace those of the same key."""

    def write(*lines: str, name: str = "edgert.toml") -> Path:
        kept = [
            line for line in RECIPE.splitlines() if not any(line.split(" =")[0] == new.split(" =")[0] for new in lines)
        ]
        path = tmp_path / name
        path.write_text("\n".join([*kept, *lines]) + "\n")
        return path

    return write
