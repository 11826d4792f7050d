"""Runs inside the emulator: one file in one engine, with a mark for the counting plugin after each inference.

    python inference.py MODEL FORMAT INFERENCES

Loads through edgert's own engines, so that their session options are what is counted. One thread. Inputs are drawn with
a fixed seed: normal in float, uniform in integers. Marks: 0 before loading, 1 after, then one per inference. Prints the
engine's facts as one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import TensorSpec, Variant
from edgert.dtypes import DType
from edgert.plugins import Engine, EngineOptions

MARK = 0x45440000


def main() -> None:
    path, form, inferences = sys.argv[1:]
    variant = Variant("counted", form, "", path, (), (), (), 0)
    _mark(0)
    executor = _engine(form).load(Path(path).read_bytes(), variant, EngineOptions(threads=1))
    inputs = [_draw(spec) for spec in executor.inputs]
    _mark(1)
    for number in range(int(inferences)):
        executor.run(inputs)
        _mark(2 + number)
    said = {"numpy": np.__version__, "python": platform.python_version(), "facts": executor.facts()}
    print(json.dumps(said))


def _engine(form: str) -> Engine:
    if form == "onnx":
        from edgert.runtime.engines.onnxruntime import OnnxRuntimeEngine

        return OnnxRuntimeEngine()
    from edgert.runtime.engines.litert import LiteRtEngine

    return LiteRtEngine()


def _draw(spec: TensorSpec) -> NDArray[np.generic]:
    random = np.random.default_rng(7)
    shape = [size or 1 for size in spec.shape]
    if spec.dtype in (DType.INT8, DType.UINT8):
        return random.integers(0, 256, shape, np.uint8).view(spec.dtype.numpy)
    return random.standard_normal(shape).astype(spec.dtype.numpy)


def _mark(number: int) -> None:
    with contextlib.suppress(OSError):  # no such process, of course
        os.getpriority(os.PRIO_PROCESS, MARK + number)


if __name__ == "__main__":
    main()
