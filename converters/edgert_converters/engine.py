"""Runs a graph in ONNX Runtime on this computer, with the engine module and the options of a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import onnx_ir as ir

from edgert.bundle import Variant
from edgert.plugins import EngineOptions
from edgert.runtime.engines.onnxruntime import OnnxRuntimeEngine
from edgert_converters.exporters.onnx import serialize
from edgert_converters.ops.spec import Array

__all__ = ["Runner", "load_runner", "options_here"]

_SMALL_BYTES = 1_000_000

Runner: TypeAlias = Callable[[Mapping[str, Array]], dict[str, Array]]
"""Inputs by name in, outputs by name out; one engine call."""


def load_runner(model: ir.Model | bytes, name: str = "graph", options: EngineOptions | None = None) -> Runner:
    """Returns a function that runs the model once.

    Raises:
        EngineError: ONNX Runtime is not installed.
        ModelError: it cannot load the model; `name` says which.
    """
    data = model if isinstance(model, bytes) else serialize(model)
    variant = Variant(name, "onnx", "", "", (), (), (), 0)
    executor = OnnxRuntimeEngine().load(data, variant, options or options_here(data))
    names = [spec.name for spec in executor.outputs]
    order = [spec.name for spec in executor.inputs]

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(names, executor.run([inputs[port] for port in order]), strict=True))

    return run


def options_here(data: bytes) -> EngineOptions:
    """Returns how a model file is run on this computer to see what it gives.

    One under 1 MB is run by one thread: what others could take off it they lose on being woken, and between two runs
    they keep the other cores busy. No result depends on it.
    """
    return EngineOptions(threads=1 if len(data) < _SMALL_BYTES else None)
