"""Peak memory of a quantization at two numbers of samples, and its time against NNCF's full bias correction.

    python -m tests.bench.quantization.memory_time --models kws resnet20 proxyless --settings default

Every figure comes from a process of its own. Memory: seeded noise, made when asked for, so that the samples themselves
count for nothing; the limit is twice the float model's own run in ONNX Runtime plus 300 MB. Time: the real calibration
of draw 0, edgert and NNCF in turns; the median of the rounds' ratios is printed. Never part of CI: a time on a shared
machine proves nothing there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.bench.quantization.cells import EDGERT, TOOLS, Key, one_thread, run_tool
from tests.bench.quantization.data import MODELS, ROOT
from tests.bench.quantization.process import report
from tests.bench.quantization.table import markdown, replace_block
from tests.bench.quantization.workspace import Workspace

LEAST_SAMPLES, MOST_SAMPLES = 100, 1000
FLOAT_RUN = "float-run"
RATIO, EXTRA_MB = 2.0, 300.0
MEMORY = ("model", "chain", "float run", "limit", "100 samples", "1000 samples", "verdict", "measured on")
TIME = ("model", "chain", "edgert", "NNCF", "NNCF setting", "ratio (least, most of a round)", "rounds", "measured on")


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    workspaces = [Workspace(MODELS[name], arguments.work) for name in arguments.models]
    rows = [memory_row(workspace, setting) for workspace in workspaces for setting in arguments.settings]
    text = markdown(MEMORY, rows)
    if arguments.rounds:
        times = [time_row(workspace, setting, arguments) for workspace in workspaces for setting in arguments.settings]
        text += "\n" + markdown(TIME, times)
    print(text)
    if arguments.write is not None:
        arguments.write.write_text(replace_block(arguments.write.read_text(), "cost", text))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    scratch = Path(tempfile.gettempdir()) / "edgert-quantization-bench"
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["kws", "resnet20", "proxyless"])
    parser.add_argument("--settings", nargs="+", default=["default"], help="see edgert_side.py")
    parser.add_argument("--against", default="full-bias-correction-vnni", help="NNCF's setting, see peer_nncf.py")
    parser.add_argument("--rounds", type=int, default=5, help="of the times; 0: none")
    parser.add_argument("--write", type=Path, help="page whose block is replaced")
    parser.add_argument("--work", type=Path, default=scratch, help="prepared tensors")
    parser.add_argument("--environments", type=Path, default=scratch / "environments")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    return parser


def memory_row(workspace: Workspace, setting: str) -> tuple[str, ...]:
    """Returns a row of the memory table; every process starts anew."""
    float_mb = peak_mb(workspace, FLOAT_RUN, 1)
    limit_mb = RATIO * float_mb + EXTRA_MB
    peaks = [peak_mb(workspace, setting, count) for count in (LEAST_SAMPLES, MOST_SAMPLES)]
    verdict = "within" if max(peaks) <= limit_mb else "BEYOND"
    figures = (f"{value:.0f} MB" for value in (float_mb, limit_mb, *peaks))
    return (workspace.model.name, f"`{setting}`", *figures, verdict, "this x86")


def peak_mb(workspace: Workspace, setting: str, count: int) -> float:
    """Peak resident memory of one process."""
    model = workspace.onnx if setting == FLOAT_RUN else workspace.model.source
    command = [sys.executable, "-m", "tests.bench.quantization.memory_time", "--child", str(model), setting, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=one_thread(), check=True)
    return float(json.loads(done.stdout.strip().splitlines()[-1])["peak_mb"])


def child(model: str, setting: str, count: str) -> None:
    """Runs the float model once, or quantizes it with `count` samples of noise."""
    if setting == FLOAT_RUN:
        report("", lambda: run_float(model))
        return
    from edgert_converters.importers import import_model
    from tests.bench.quantization.edgert_side import parse_setting, quantize

    (port,) = import_model(Path(model), {}).inputs
    shape = tuple(size or 1 for size in port.shape[1:])

    def samples() -> Iterator[NDArray[np.float32]]:
        rng = np.random.default_rng(0)
        return (rng.standard_normal(shape, np.float32) for _ in range(int(count)))

    report("", lambda: quantize(Path(model), samples, int(count), parse_setting(setting)))


def run_float(model: str) -> None:
    """One run in ONNX Runtime and nothing else."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (port,) = session.get_inputs()
    shape = [size if isinstance(size, int) else 1 for size in port.shape]
    session.run(None, {port.name: np.zeros(shape, np.float32)})


def time_row(workspace: Workspace, setting: str, arguments: argparse.Namespace) -> tuple[str, ...]:
    """Returns a row of the time table: both tools in turns."""
    pairs = [(EDGERT, setting), ("nncf", arguments.against)]
    taken: list[list[float]] = [[], []]
    with tempfile.TemporaryDirectory(prefix="edgert-quantization-") as folder:
        for _ in range(arguments.rounds):
            for seconds, (tool, words) in zip(taken, pairs, strict=True):
                key = Key(workspace.model.name, 0, tool, words)
                output = Path(folder) / "out.onnx"
                seconds.append(run_tool(TOOLS[tool], key, workspace, arguments.environments, output)["seconds"])
    ratios = np.asarray(taken[0]) / np.asarray(taken[1])
    return (
        workspace.model.name,
        f"`{setting}`",
        *(f"{np.median(seconds):.1f} s" for seconds in taken),
        f"`{arguments.against}`",
        f"{np.median(ratios):.2f}x ({ratios.min():.2f}, {ratios.max():.2f})",
        str(arguments.rounds),
        "this x86",
    )


if __name__ == "__main__":
    main()
