"""What travels to a board is what its workers and apps can load, and no more."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import edgert
from edgert.devices.board_part import board_part
from edgert.profiler.energy import SENSORS
from edgert.runtime.engines import ENGINES

PACKAGE = Path(edgert.__file__).parent
WORKERS = (
    "edgert.runtime.worker",
    "edgert.profiler.worker",
    "edgert.profiler.race_worker",
    "edgert.profiler.card_worker",
)
MODULES = {
    ".".join(("edgert", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
LARGEST_BYTES = 1_000_000


def imported(module: str) -> Iterator[str]:
    """Modules of edgert that a module may load, those inside its functions too; types alone are not loaded."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    only_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in only_types:
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and id(node) not in only_types and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def reachable() -> set[str]:
    by_name = (*(place.partition(":")[0] for place in ENGINES.values()), *SENSORS.values())
    found: set[str] = set()
    always = [module for module in MODULES if module.startswith(("edgert.app", "edgert.onboard"))]
    always.remove("edgert.onboard.bootstrap")  # travels on the command line
    waiting = [*WORKERS, *always, "edgert.signature", *by_name]
    while waiting:
        module = waiting.pop()
        if module in MODULES and module not in found:
            found.add(module)
            waiting += [module.rpartition(".")[0], *imported(module)]
    return found


def unpacked(folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(board_part().data)) as archive:
        archive.extractall(folder)
    return folder


def test_the_part_holds_what_workers_load_and_no_more() -> None:
    with zipfile.ZipFile(io.BytesIO(board_part().data)) as archive:
        names = {name.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for name in archive.namelist()}
    assert names == reachable()


def test_every_module_loads_without_the_rest_and_all_stay_small(tmp_path: Path) -> None:
    code = unpacked(tmp_path)
    modules = sorted(reachable())
    script = (
        f"import sys, importlib; sys.path.insert(0, {str(code)!r})\nfor m in {modules!r}: importlib.import_module(m)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sum(path.stat().st_size for path in code.rglob("*.py")) < LARGEST_BYTES
