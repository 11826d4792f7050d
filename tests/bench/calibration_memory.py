"""Measures the peak memory of a conversion with 72 and with 720 calibration samples, in fresh processes.

    python tests/bench/calibration_memory.py [--model MODEL.onnx] [--rounds 3] [--samples 72 720]

It says the peak when calibration ends and that of the whole conversion (verification, layer errors, files). Limits:
more samples take at most 1.1 times the memory, and nothing takes more than twice that of the float model's own run
in ONNX Runtime plus 300 MB.

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
FLOAT_RUNS, MORE_MB = 2, 300

# VmHWM and not ru_maxrss: the latter starts at the parent's peak, which a child inherits over fork and exec
CONVERT = """
import re, sys
from pathlib import Path
from edgert.recipe import Recipe
from edgert_converters.command import CONVERTER
model, data, other, output, count = sys.argv[1:]
seen, calibrated = [], []
def peak():
    return re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1)
def progress(stage, done, total):
    if stage == "calibrate":
        seen.append(done)
        calibrated[:] = [peak()]
CONVERTER.convert(Recipe(Path(model), output=Path(output), calib=data, eval=other, calib_samples=10**6), progress)
assert seen[-1] == int(count), (seen[-1], count)
print(calibrated[0], peak())
"""

FLOAT_RUN = """
import re, sys
from pathlib import Path
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
shape = [int(size) for size in sys.argv[2].split(",")]
for _ in range(3):
    session.run(None, {session.get_inputs()[0].name: numpy.zeros([1, *shape], numpy.float32)})
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1))
"""


def write_samples(path: Path, shape: tuple[int, ...], count: int, save: str, seed: int = 0) -> Path:
    """Writes `count` samples of seeded noise, float32[count, ...]."""
    samples = np.random.default_rng(seed).standard_normal((count, *shape), np.float32)
    getattr(np, save)(path, x=samples)
    return path


def measure_peaks_mb(model: Path, data: Path, evaluation: Path, count: int) -> tuple[float, float]:
    """Peak resident memory until calibration ends and of the whole conversion, in a process of its own, in MB."""
    output = data.with_suffix(".edge")
    command = [sys.executable, "-c", CONVERT, *map(str, (model, data, evaluation, output, count))]
    calibrated_mb, whole_mb = _peaks_mb(command)
    return calibrated_mb, whole_mb


def measure_float_mb(model: Path, shape: tuple[int, ...]) -> float:
    """Peak resident memory of a process that only runs the float model, in MB."""
    return _peaks_mb([sys.executable, "-c", FLOAT_RUN, str(model), ",".join(map(str, shape))])[0]


def _peaks_mb(command: list[str]) -> list[float]:
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return [int(peak_kb) / 1000 for peak_kb in done.stdout.splitlines()[-1].split()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=DEMO)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, nargs=2, default=(FEW, MANY), metavar=("FEW", "MANY"))
    arguments = parser.parse_args()
    few_samples, many_samples = arguments.samples
    dims = onnx.load(arguments.model).graph.input[0].type.tensor_type.shape.dim[1:]
    shape = tuple(dim.dim_value for dim in dims)
    further_mb = 4 * int(np.prod(shape)) * (many_samples - few_samples) / 1e6
    float_mb = statistics.median(measure_float_mb(arguments.model, shape) for _ in range(arguments.rounds))
    allowed_mb = FLOAT_RUNS * float_mb + MORE_MB
    print(f"{arguments.model.stem}: its own run {float_mb:.1f} MB, so a conversion may take {allowed_mb:.1f} MB")
    within = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        evaluation = write_samples(folder / "evaluation.npz", shape, 8, "savez", seed=1)
        for save in ("savez", "savez_compressed"):
            peaks: dict[int, list[tuple[float, float]]] = {few_samples: [], many_samples: []}
            files = {n: write_samples(folder / f"{save}{n}.npz", shape, n, save) for n in peaks}
            for _ in range(arguments.rounds):
                for count, measured in peaks.items():
                    measured.append(measure_peaks_mb(arguments.model, files[count], evaluation, count))
            for stage, name_of in enumerate(("until calibration ends", "whole conversion")):
                few, many = (statistics.median(peak[stage] for peak in measured) for measured in peaks.values())
                within &= many / few <= LIMIT and max(few, many) <= allowed_mb
                print(
                    f"{arguments.model.stem}, {save}, {name_of}: {few_samples} samples {few:.1f} MB, {many_samples} "
                    f"samples {many:.1f} MB, ratio {many / few:.3f} (the further samples alone are {further_mb:.1f} MB)"
                )
    print("within" if within else "BEYOND", "the limits")
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
