"""Measures what `Session.run` adds to the engine's own calls: interleaved in one process, printed as a ratio.

    python tests/bench/run_overhead.py [MODEL.onnx|MODEL.tflite] [--quantized] [--rounds 2000]

Never part of CI: a time on a shared machine proves nothing there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

import edgert
from edgert.profiler.model_input import choose_input
from edgert.quant import quantize
from edgert.runtime.engines.onnxruntime import import_onnxruntime
from edgert.runtime.session import Session

DEMO = Path(__file__).parents[2] / "edgert" / "demo" / "digits.onnx"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", default=DEMO, help="default: the model of edgert demo")
    parser.add_argument("--quantized", action="store_true", help="feed and fetch the integers of an int8 border")
    parser.add_argument("--rounds", type=int, default=2000)
    arguments = parser.parse_args()
    session = edgert.load(arguments.model, threads=1)
    reals, _ = choose_input(session, {}, {}, {}, 0)
    integers = {name: engine_array(session, name, array) for name, array in reals.items()}
    bare = onnxruntime_call if arguments.model.suffix == ".onnx" else litert_call
    direct = bare(arguments.model, integers)
    feeds = integers if arguments.quantized else reals
    feed = next(iter(feeds.values())) if len(feeds) == 1 else feeds
    ours, theirs = [], []
    for round_index in range(arguments.rounds):
        pair = [(ours, lambda: session.run(feed, quantized=arguments.quantized)), (theirs, direct)]
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


def engine_array(session: Session, name: str, array: np.ndarray) -> np.ndarray:
    """What the engine itself takes: integers where its border has them, which only a .tflite file has here."""
    quant = session.quant_of(name)
    return array if quant is None else quantize(array, quant)


def onnxruntime_call(model: Path, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    direct = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in direct.get_outputs()]
    return lambda: direct.run(names, inputs)


def litert_call(model: Path, inputs: Mapping[str, np.ndarray]) -> Callable[[], object]:
    """The three calls of the package's own example, for one input after the other."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=1)
    interpreter.allocate_tensors()
    pairs = list(zip((d["index"] for d in interpreter.get_input_details()), inputs.values(), strict=True))
    outputs = [detail["index"] for detail in interpreter.get_output_details()]

    def call() -> list[np.ndarray]:
        for index, array in pairs:
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return call


if __name__ == "__main__":
    raise SystemExit(main())
