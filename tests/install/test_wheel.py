"""What is in the wheel, and what is not."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tests.install.environments import ROOT


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_three_packages_and_nothing_else(names: set[str]) -> None:
    tops = {PurePosixPath(name).parts[0] for name in names}
    (facts,) = (top for top in tops if top.endswith(".dist-info"))
    assert tops - {facts} == {"edgert", "edgert_converters", "edgert_targets"}
    assert {f"{facts}/licenses/LICENSE", f"{facts}/entry_points.txt"} <= names
    assert not [name for name in names if PurePosixPath(name).name.startswith(("test_", "conftest"))]
    assert not [name for name in names if "tests" in PurePosixPath(name).parts or name.endswith((".pyc", ".toml.bak"))]


def test_every_source_file_and_data_file_is_there(names: set[str]) -> None:
    """Compared with what git tracks below the three packages: nothing is forgotten, nothing slips in."""
    roots = [ROOT, ROOT / "converters", ROOT / "targets"]
    packages = [
        root / name for root, name in zip(roots, ("edgert", "edgert_converters", "edgert_targets"), strict=True)
    ]
    present = {
        path.relative_to(package.parent).as_posix()
        for package in packages
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert present == {name for name in names if ".dist-info/" not in name}
    assert {"edgert/demo/digits.onnx", "edgert/py.typed", "edgert_targets/host/target.toml"} <= names
    assert {"edgert_converters/py.typed", "edgert_targets/py.typed"} <= names


def test_it_is_small(wheel: Path) -> None:
    """What a board gets of it is smaller still: tests/layering/test_board_part.py."""
    assert wheel.stat().st_size < 3_000_000
