"""Dynamic range: int8 weights, float activations; no calibration.

Convolutions have a scale per output channel, matrices one: kernels with more came with version 12 of FULLY_CONNECTED,
which tflite-runtime 2.14 does not know.

The graph says so with DequantizeLinear on constants alone. Engines with hybrid kernels (LiteRT) quantize activations
while they run; others compute in float with the weights' rounded values.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import ChannelRule
from edgert_converters.quantize.insert import add_dequantized
from edgert_converters.quantize.weights import quantize_weights

__all__ = ["LEAST_WEIGHTS", "quantize_weights_only"]

LEAST_WEIGHTS = 1024
"""Smaller constants stay float: they save nothing and cost accuracy. TensorFlow's converter draws the same line."""

_WEIGHTED = frozenset(
    op for op, spec in OPERATORS.items() if spec.channels is ChannelRule.PRODUCES and op != "ConvTranspose"
)
"""TFLite has no hybrid kernel for transposed convolutions."""


def quantize_weights_only(model: ir.Model) -> tuple[ir.Model, int]:
    """Returns a copy with int8 weights behind DequantizeLinear, and how many operators have them.

    Args:
        model: a clean float graph; not changed.
    """
    copy = model.clone()
    count = 0
    for node in list(copy.graph):
        if node.op_type not in _WEIGHTED or node.domain not in {"", "ai.onnx"} or len(node.inputs) < 2:
            continue
        weight = node.inputs[1]
        if weight is None or weight.const_value is None or weight.const_value.size < LEAST_WEIGHTS:
            continue
        values = weight.const_value.numpy().astype(np.float32)
        if node.op_type == "MatMul" and values.ndim != 2:
            continue
        quantized = quantize_weights(values, 0 if node.op_type == "Conv" else None, 1.0, None)
        name = f"{node.name}.weight"
        node.replace_input_with(1, add_dequantized(copy.graph, node, name, quantized.weight, quantized.weight_params))
        count += 1
    RemoveUnusedNodesPass()(copy)
    return copy, count
