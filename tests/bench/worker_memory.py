"""Measures what the worker adds to the memory of the engine that it runs, in fresh processes on this computer.

    python tests/bench/worker_memory.py [MODEL.onnx|MODEL.tflite ...] [--rounds 5]

For each model: resident memory of a bare Python process that loads the model with its engine alone and runs it once,
against that of `python -m edgert.profiler.worker` (and of `edgert.runtime.worker`) after the same. Exit code 1 where
the median difference is above 12 MB. Never part of CI.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ZOO = Path(os.environ.get("EDGERT_ZOO", ROOT.parent / "shared" / "zoo"))
MODELS = ("proxyless_w025_r112_imagenet.onnx", "mlperf_tiny_kws_dscnn_float.tflite")
BUDGET_MB = 12.0
READ = """
import re, sys, numpy
def rss():
    return int(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/self/status').read())[1]) * 1024 / 1e6
"""
BARE_ONNX = """
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feeds = {port.name: numpy.zeros([size if isinstance(size, int) else 1 for size in port.shape], numpy.float32)
         for port in session.get_inputs()}
session.run(None, feeds)
print(rss())
"""
BARE_TFLITE = """
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_path=sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
for port in interpreter.get_input_details():
    interpreter.set_tensor(port["index"], numpy.zeros(port["shape"], port["dtype"]))
interpreter.invoke()
print(rss())
"""
OURS = """
from edgert.runtime.wire import Message
from {module} import {handlers}
handlers = {handlers}()
table = handlers.table()
reply = table["load"](Message({{"path": sys.argv[1], "threads": 1}})).body
feeds = {{port["name"]: numpy.zeros([size or 1 for size in port["shape"]], numpy.float32) for port in reply["inputs"]}}
table["run"](Message({{}}, feeds))
print(rss())
"""
BARE = {".onnx": BARE_ONNX, ".tflite": BARE_TFLITE}
WORKERS = {
    "runtime.worker": OURS.format(module="edgert.runtime.worker", handlers="SessionHandlers"),
    "profiler.worker": OURS.format(module="edgert.profiler.worker", handlers="ProfilerHandlers"),
}


def measure_rss_mb(script: str, model: Path) -> float:
    """Resident memory in MB (10^6 bytes) of one process after one inference."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "EDGERT_SETTINGS": os.devnull}
    command = [sys.executable, "-c", READ + script, str(model)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def measure(model: Path, rounds: int) -> float:
    """Prints the lines of one model and returns the most that a worker adds, in MB."""
    cases = {"engine alone": BARE[model.suffix], **WORKERS}
    found = [{name: measure_rss_mb(script, model) for name, script in cases.items()} for _ in range(rounds)]
    medians = {name: statistics.median(row[name] for row in found) for name in cases}
    print(model.name)
    for name, median_mb in medians.items():
        print(f"  {name:22} {median_mb:8.1f} {median_mb - medians['engine alone']:8.1f}")
    return max(medians.values()) - medians["engine alone"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path, default=[ZOO / "models" / name for name in MODELS])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"{'RSS, MB':24} {'median':>8} {'added':>8}   ({arguments.rounds} fresh processes each)")
    worst_mb = max(measure(model, arguments.rounds) for model in arguments.models)
    print("within" if worst_mb <= BUDGET_MB else "BEYOND", f"the budget of {BUDGET_MB:g} MB")
    return 0 if worst_mb <= BUDGET_MB else 1


if __name__ == "__main__":
    raise SystemExit(main())
