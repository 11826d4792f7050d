"""Times edgert's int8 .tflite of DS-CNN against the published int8 file of the same network, in LiteRT.

    python tests/bench/kws_tflite.py

Both files in one process, in turns, one thread, LiteRT's own `invoke`; the median of the rounds' ratios is printed.
edgert's file is made anew from the float model and the calibration split. Needs the zoo (EDGERT_ZOO).
"""

from __future__ import annotations

import importlib.metadata
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import edgert
from edgert.runtime.cpu import dot_product

ZOO = Path(os.environ.get("EDGERT_ZOO", Path(__file__).resolve().parents[3] / "shared" / "zoo"))
ROUNDS, RUNS = 100, 100


def make_file(folder: Path) -> bytes:
    """Converts the float model with the calibration split and returns the int8 .tflite file."""
    with np.load(ZOO / "data" / "speech_commands_v2_test_mfcc_4890.npz") as data:
        x = data["mfcc"].astype(np.float32).reshape(-1, 49, 10, 1)[data["split_calib"].astype(bool)]
    np.savez(folder / "calib.npz", x=x)
    model = ZOO / "models" / "mlperf_tiny_kws_dscnn_float.tflite"
    output = folder / "kws.tflite"
    edgert.convert(model, calib=str(folder / "calib.npz"), calib_samples=720, output=output)
    return output.read_bytes()


def load(data: bytes) -> Any:
    """Returns a LiteRT interpreter with zeros at its input."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    for port in interpreter.get_input_details():
        interpreter.set_tensor(port["index"], np.zeros(port["shape"], port["dtype"]))
    return interpreter


def main() -> None:
    """Prints medians and the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        ours = load(make_file(Path(folder)))
    published = load((ZOO / "models" / "mlperf_tiny_kws_dscnn_int8.tflite").read_bytes())
    times_us: dict[str, list[float]] = {"edgert": [], "published": []}
    for _ in range(ROUNDS):
        for name, interpreter in (("edgert", ours), ("published", published)):
            start = time.perf_counter()
            for _ in range(RUNS):
                interpreter.invoke()
            times_us[name].append((time.perf_counter() - start) / RUNS * 1e6)
    ratio = np.median(np.asarray(times_us["edgert"]) / np.asarray(times_us["published"]))
    for name, values in times_us.items():
        print(f"{name:10} {np.median(values):7.1f} us")
    version = importlib.metadata.version("ai-edge-litert")
    print(f"ratio {ratio:.3f}, LiteRT {version}, {dot_product().value}, 1 thread")


if __name__ == "__main__":
    main()
