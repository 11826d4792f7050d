"""Runs a graph on this computer in ONNX Runtime, as the converter needs it: calibration and verification."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import onnx_ir as ir

from edgert_converters.exporters.onnx import serialize
from edgert_converters.ops.spec import Array

__all__ = ["Runner", "load_runner"]

Runner: TypeAlias = Callable[[Mapping[str, Array]], dict[str, Array]]
"""Inputs by name in, outputs by name out; one engine call."""


def load_runner(model: ir.Model | bytes, threads: int | None = None) -> Runner:
    """Returns a function that runs the model once."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    data = model if isinstance(model, bytes) else serialize(model)
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return run
