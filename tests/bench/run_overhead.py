"""Measures what `Session.run` adds to the engine's own call: interleaved in one process, printed as a ratio.

    python tests/bench/run_overhead.py [MODEL.onnx] [--rounds 2000]

Never part of CI: a time on a shared machine proves nothing there.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import onnxruntime

import edgert
from edgert.profiler.model_input import choose_input

DEMO = Path(__file__).parents[2] / "edgert" / "demo" / "digits.onnx"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", default=DEMO, help="default: the model of edgert demo")
    parser.add_argument("--rounds", type=int, default=2000)
    arguments = parser.parse_args()
    session = edgert.load(arguments.model, threads=1)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    direct = onnxruntime.InferenceSession(str(arguments.model), options, providers=["CPUExecutionProvider"])
    inputs, _ = choose_input(session, {}, {}, {}, 0)
    feed = next(iter(inputs.values())) if len(inputs) == 1 else inputs
    names = [value.name for value in direct.get_outputs()]
    ours, theirs = [], []
    for round_index in range(arguments.rounds):
        pair = [(ours, lambda: session.run(feed)), (theirs, lambda: direct.run(names, inputs))]
        for times, call in pair if round_index % 2 else reversed(pair):
            start = time.perf_counter_ns()
            call()
            times.append(time.perf_counter_ns() - start)
    ours_us, theirs_us = (float(np.median(times[len(times) // 10 :])) / 1000 for times in (ours, theirs))
    added_us, ratio = ours_us - theirs_us, ours_us / theirs_us
    print(f"engine {theirs_us:.2f} us, Session.run {ours_us:.2f} us: +{added_us:.2f} us, ratio {ratio:.4f}")
    within = added_us <= 20 or ratio <= 1.05
    print("within" if within else "BEYOND", "the budget of 5 % or 20 us")
    return 0 if within else 1


if __name__ == "__main__":
    raise SystemExit(main())
