"""One cell of the benchmark: a model, a draw, a tool and its setting; made, judged and kept as a line of JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.quantization.compare import Outcome, Rows, judge
from tests.bench.quantization.data import MODELS, ROOT, draw_indices, rows_of
from tests.bench.quantization.logits import logits_of
from tests.bench.quantization.workspace import Workspace

SCRIPTS = Path(__file__).parent
EDGERT = "edgert"
TIME_LIMIT_S = 3600.0


@dataclass(frozen=True)
class Tool:
    """A quantizer: the script that runs it, the environment (None: this one) and the settings measured by default."""

    name: str
    script: str
    settings: tuple[str, ...]
    environment: str | None = None
    suffix: str = "onnx"


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(EDGERT, "edgert_side", ("default",)),
        Tool(
            "onnxruntime",
            "peer_onnxruntime.py",
            ("min-max", "percentile", "entropy", "per-tensor", "symmetric", "symmetric-percentile"),
            "onnxruntime",
        ),
        Tool(
            "nncf",
            "peer_nncf.py",
            (
                "default",
                "full-bias-correction",
                "default-vnni",
                "full-bias-correction-vnni",
                "mixed-full-bias-correction-vnni",
            ),
            "nncf",
        ),
        Tool("ai-edge", "peer_ai_edge.py", ("default", "min-max"), "ai-edge-quantizer", "tflite"),
    )
}


@dataclass(frozen=True)
class Key:
    """Which cell."""

    model: str
    draw: int
    tool: str
    setting: str


@dataclass(frozen=True)
class Cell:
    """A finished cell; `images` is the number of images in all, which tells rows and images apart."""

    key: Key
    images: int
    seconds: float
    peak_mb: float | None
    version: str
    outcome: Outcome
    note: str = ""

    def rows(self) -> Rows:
        """Agreement by row, with the images that the rows show."""
        model = MODELS[self.key.model]
        judged = draw_indices(model, self.images, self.key.draw)[1]
        chosen = np.arange(self.images) if judged is None else judged
        agree = np.ones(self.outcome.n, bool)
        agree[list(self.outcome.changed)] = False
        return Rows(agree, rows_of(chosen, model.views, self.images) % self.images)

    def centre(self) -> Rows:
        """The same of the centre views alone."""
        rows = self.rows()
        count = self.outcome.labelled
        return Rows(rows.agree[:count], rows.images[:count])


def make_cell(key: Key, workspace: Workspace, environments: Path) -> Cell:
    """Runs the tool and judges what it wrote.

    Raises:
        RuntimeError: the tool failed; with the end of what it said.
    """
    tool = TOOLS[key.tool]
    with tempfile.TemporaryDirectory(prefix="edgert-quantization-") as folder:
        output = Path(folder) / f"out.{tool.suffix}"
        said = run_tool(tool, key, workspace, environments, output)
        rows = workspace.rows(key.draw)
        logits = logits_of(output, workspace.samples[rows])
    judged = workspace.judged(key.draw)
    outcome = judge(
        workspace.float_logits[rows],
        logits,
        workspace.labels[judged],
        probabilities=workspace.model.probabilities,
    )
    return Cell(key, len(workspace.labels), said["seconds"], said["peak_mb"], said["version"], outcome, said["note"])


def run_tool(tool: Tool, key: Key, workspace: Workspace, environments: Path, output: Path) -> dict[str, Any]:
    """Runs a tool in its own process and environment, one thread; returns what it says about itself.

    Raises:
        RuntimeError: it failed.
    """
    # Any: JSON
    model = workspace.tflite if tool.suffix == "tflite" else workspace.onnx
    if tool.environment is None:
        command = [sys.executable, "-m", f"tests.bench.quantization.{tool.script}"]
        model = workspace.model.source
    else:
        command = [str(python_of(tool.environment, environments)), str(SCRIPTS / tool.script)]
    arguments = [str(model), str(workspace.calibration(key.draw)), key.setting, str(output)]
    done = subprocess.run(
        [*command, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=one_thread(),
        timeout=TIME_LIMIT_S,
        check=False,
    )
    if done.returncode != 0 or not output.is_file():
        raise RuntimeError("\n".join((done.stderr or done.stdout).strip().splitlines()[-3:]))
    said: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return said


def one_thread() -> dict[str, str]:
    """The environment of a tool's process: one thread, and edgert's packages where they are not installed."""
    roots = os.pathsep.join(str(ROOT / folder) for folder in (".", "converters", "targets"))
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": roots}


def python_of(name: str, environments: Path) -> Path:
    """Returns the interpreter of a peer's environment, which is made from its list of packages at first use."""
    folder = environments / name
    python = folder / "bin" / "python"
    if not python.is_file():
        packages = ROOT / "tests" / "bench" / "peers" / f"{name}.txt"
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(packages)], check=True)
    return python


def read_cells(paths: Iterable[Path]) -> dict[Key, Cell]:
    """Returns the finished cells of result files; of a cell measured twice the later one."""
    lines = (line for path in paths if path.is_file() for line in path.read_text().splitlines())
    cells = [_read(json.loads(line)) for line in lines if line.strip()]
    return {cell.key: cell for cell in cells}


def append_cell(path: Path, cell: Cell) -> None:
    """Adds one line."""
    with path.open("a") as file:
        file.write(json.dumps(dataclasses.asdict(cell), separators=(",", ":")) + "\n")


def _read(record: dict[str, Any]) -> Cell:  # Any: JSON
    outcome = {name: tuple(value) if isinstance(value, list) else value for name, value in record["outcome"].items()}
    return Cell(**{**record, "key": Key(**record["key"]), "outcome": Outcome(**outcome)})
