"""Runs a graph in ONNX Runtime, or a finished variant in its own engine, on this computer: to calibrate and verify.

The same engine module as on a device, with the same options, so what is verified is what will run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import onnx_ir as ir

import edgert
from edgert.bundle import SCHEMA, Manifest, Source, TensorSpec, Variant
from edgert.errors import EngineError
from edgert.plugins import EngineOptions
from edgert.runtime.engines import choose_engine
from edgert.runtime.engines.onnxruntime import OnnxRuntimeEngine
from edgert.runtime.session import Session
from edgert_converters.built import Built
from edgert_converters.exporters.onnx import serialize
from edgert_converters.ops.spec import Array

__all__ = ["Runner", "load_runner", "load_variant", "why_not_here"]

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
    executor = OnnxRuntimeEngine().load(data, variant, options or EngineOptions())
    names = [spec.name for spec in executor.outputs]
    order = [spec.name for spec in executor.inputs]

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(names, executor.run([inputs[port] for port in order]), strict=True))

    return run


def load_variant(built: Built, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Runner:
    """Returns a function that runs a finished variant once in the engine that a device would choose for it.

    Args:
        built: the variant; its layouts and integer types are hidden from the caller.
        inputs: what the caller feeds, as in the manifest.
        outputs: what the caller gets.

    Raises:
        EngineError: no engine that is installed here runs it.
        ModelError: the engine cannot load it.
    """
    executor = choose_engine(built.bare).load(built.data, built.bare, EngineOptions())
    manifest = Manifest(
        SCHEMA, built.id, edgert.__version__, Source("", "", ""), tuple(inputs), tuple(outputs), (built.bare,), built.id
    )
    session = Session(manifest, built.bare, executor)

    def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
        return session.run(inputs)

    return run


def why_not_here(built: Built) -> str | None:
    """Returns why no engine here runs a variant, or None where one does."""
    try:
        choose_engine(built.bare)
    except EngineError as error:
        return str(error)
    return None
