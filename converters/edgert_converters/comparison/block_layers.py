"""Models whose weights alone are integers, in blocks: ONNX Runtime's layers against the interpreter's, in float."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgert.errors import EngineError, ModelError
from edgert.plugins import EngineOptions
from edgert.runtime.engines.onnxruntime import OnnxRuntimeEngine
from edgert.verification import LayerSteps, Mode, NotCompared, Pair, VerifyRequest
from edgert_converters.engine import load_runner
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.calibrate import expose_values

__all__ = ["STEP_SHARE", "block_layers", "compare_block_layers"]

STEP_SHARE = 2.0**-16
"""There are no quantization steps in float: here a step is this share of the layer's largest magnitude."""

_ENGINE = "onnxruntime"
_OWN = frozenset(op_type for op_type, spec in OPERATORS.items() if spec.domain)
_NOTE = "float layers: a step is 2^-16 of the layer's largest magnitude"


def block_layers(graph: ir.Graph) -> tuple[ir.Node, ...]:
    """Returns the nodes that have weights in blocks, in graph order."""
    return tuple(node for node in graph if node.op_type in _OWN and OPERATORS[node.op_type].domain == node.domain)


def compare_block_layers(
    model: ir.Model, samples: Sequence[Mapping[str, Array]], request: VerifyRequest
) -> tuple[tuple[Pair, ...], tuple[NotCompared, ...]]:
    """Returns the comparison end to end: of each layer with weights in blocks, and of each output."""
    asked = request.peers or (_ENGINE,)
    why = "weights in blocks are ONNX Runtime's own operators"
    missing = [NotCompared(peer, mode, "", "", why) for mode in request.modes for peer in asked if peer != _ENGINE]
    version = OnnxRuntimeEngine().version()
    if _ENGINE not in asked or version is None or Mode.END_TO_END not in request.modes:
        return (), tuple(missing)
    try:
        rows = _rows(model, samples)
    except (ModelError, EngineError) as error:
        return (), (*missing, NotCompared(_ENGINE, Mode.END_TO_END, "", "", str(error)))
    kernels = tuple(sorted({node.op_type for node in block_layers(model.graph)}))
    return (Pair(_ENGINE, version, Mode.END_TO_END, rows, kernels, notes=(_NOTE,)),), tuple(missing)


def _rows(model: ir.Model, samples: Sequence[Mapping[str, Array]]) -> tuple[LayerSteps, ...]:
    layers = {str(node.outputs[0].name): (node.name or "", node.op_type) for node in block_layers(model.graph)}
    for value in model.graph.outputs:
        layers.setdefault(str(value.name), (str(value.name), "output"))
    exposed = expose_values(model, list(layers))
    run, interpreter = load_runner(exposed, "weights in blocks", EngineOptions(threads=1)), Interpreter(exposed)
    pairs: dict[str, list[tuple[Array, Array]]] = {name: [] for name in layers}
    for sample in samples:
        found, expected = run(sample), interpreter.run(sample).outputs
        for name, seen in pairs.items():
            seen.append((found[name], expected[name]))
    return tuple(_row(layer, op, pairs[name]) for name, (layer, op) in layers.items())


def _row(layer: str, op: str, pairs: Sequence[tuple[Array, Array]]) -> LayerSteps:
    largest = max((float(np.abs(expected.astype(np.float64)).max(initial=0.0)) for _, expected in pairs), default=0.0)
    step = STEP_SHARE * largest or 1.0
    steps = [
        np.floor(np.abs(found.astype(np.float64) - expected.astype(np.float64)) / step) for found, expected in pairs
    ]
    worst = max(int(array.max(initial=0)) for array in steps)
    differing = sum(int(np.count_nonzero(array)) for array in steps)
    return LayerSteps(layer, op, worst, differing, sum(array.size for array in steps))
