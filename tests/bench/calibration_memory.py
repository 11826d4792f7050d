"""Measures the peak memory of a conversion with 72 and with 720 calibration samples, in fresh processes.

    python tests/bench/calibration_memory.py [--model MODEL.onnx] [--rounds 3]

The model's first input must be float32; the samples are seeded noise of its shape in an .npz file, stored once
compressed and once not, because the two are read in different ways. Never part of CI.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "edgert" / "demo" / "digits.onnx"
FEW, MANY = 72, 720
LIMIT = 1.10

# VmHWM and not ru_maxrss: the latter starts at the parent's peak, which a child inherits over fork and exec
CONVERT = """
import re, sys
from pathlib import Path
from edgert.recipe import Recipe
from edgert_converters.command import CONVERTER
model, data, other, output, count = sys.argv[1:]
seen = []
def progress(stage, done, total):
    if stage == "calibrate":
        seen.append(done)
CONVERTER.convert(Recipe(Path(model), output=Path(output), calib=data, eval=other, calib_samples=10**6), progress)
assert seen[-1] == int(count), (seen[-1], count)
status = Path("/proc/self/status").read_text()
print(re.search(r"VmHWM:\\s+(\\d+) kB", status).group(1))
"""


def write_samples(path: Path, shape: tuple[int, ...], count: int, save: str, seed: int = 0) -> Path:
    """Writes `count` samples of seeded noise, float32[count, ...]."""
    samples = np.random.default_rng(seed).standard_normal((count, *shape), np.float32)
    getattr(np, save)(path, x=samples)
    return path


def measure_peak_mb(model: Path, data: Path, evaluation: Path, count: int) -> float:
    """Peak resident memory of one conversion, calibrated with `count` samples, in a process of its own, in MB."""
    output = data.with_suffix(".edge")
    command = [sys.executable, "-c", CONVERT, *map(str, (model, data, evaluation, output, count))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return int(done.stdout.split()[-1]) / 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEMO)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    dims = onnx.load(arguments.model).graph.input[0].type.tensor_type.shape.dim[1:]
    shape = tuple(dim.dim_value for dim in dims)
    further_mb = 4 * int(np.prod(shape)) * (MANY - FEW) / 1e6
    within = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        evaluation = write_samples(folder / "evaluation.npz", shape, 8, "savez", seed=1)
        for save in ("savez", "savez_compressed"):
            peaks: dict[int, list[float]] = {FEW: [], MANY: []}
            files = {n: write_samples(folder / f"{save}{n}.npz", shape, n, save) for n in peaks}
            for _ in range(arguments.rounds):
                for count, measured in peaks.items():
                    measured.append(measure_peak_mb(arguments.model, files[count], evaluation, count))
            few, many = (statistics.median(peaks[count]) for count in (FEW, MANY))
            within &= many / few <= LIMIT
            print(
                f"{arguments.model.stem}, {save}: {FEW} samples {few:.1f} MB, {MANY} samples {many:.1f} MB, "
                f"ratio {many / few:.3f} (the further samples alone are {further_mb:.1f} MB)"
            )
    print("within" if within else "BEYOND", f"the limit of {LIMIT:g}")
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
