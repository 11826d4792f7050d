"""Runs a model file of any tool over evaluation tensors: edgert's own engine modules, one thread, batch 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgert.plugins import EngineOptions
from edgert_converters.engine import load_runner

Floats = NDArray[np.float32]
Run: TypeAlias = Callable[[Floats], Floats]


def logits_of(path: Path, samples: Floats) -> Floats:
    """Returns the first output for each sample, float32[rows, classes].

    Args:
        path: an .onnx or .tflite file with one float or integer input.
        samples: float32[rows, ...]; images are NCHW, and turned where the file takes NHWC.
    """
    run = _litert(path) if path.suffix == ".tflite" else _onnxruntime(path)
    return np.stack([run(np.asarray(sample)[None]) for sample in samples])


def _onnxruntime(path: Path) -> Run:
    import onnx

    data = path.read_bytes()
    graph = onnx.load_model_from_string(data).graph
    constants = {constant.name for constant in graph.initializer}
    (name,) = (value.name for value in graph.input if value.name not in constants)
    output = graph.output[0].name
    runner = load_runner(data, path.stem, EngineOptions(threads=1))
    return lambda x: runner({name: x})[output][0]


def _litert(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def run(x: Floats) -> Floats:
        if x.ndim == 4 and x.shape[1:] != tuple(source["shape"][1:]):
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        scale, zero_point = source["quantization"]
        if source["dtype"] != np.float32:
            limits = np.iinfo(source["dtype"])
            x = np.clip(np.rint(x / scale) + zero_point, limits.min, limits.max).astype(source["dtype"])
        interpreter.set_tensor(source["index"], x)
        interpreter.invoke()
        y = interpreter.get_tensor(target["index"])[0]
        scale, zero_point = target["quantization"]
        return y if y.dtype == np.float32 else ((y.astype(np.float32) - zero_point) * scale).astype(np.float32)

    return run
