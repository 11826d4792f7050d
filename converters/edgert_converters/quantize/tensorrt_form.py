"""The quantized graph as TensorRT takes it: symmetric activations and biases that stay float.

Source: NVIDIA, TensorRT documentation, "Explicit quantization": int8 with zero point 0 on both sides, weights behind
DequantizeLinear with a scale per output channel, both inputs of a residual Add behind QuantizeLinear and
DequantizeLinear. TensorRT adds biases in float, so none is rounded here. It was not run: no such device is at hand.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgert.dtypes import DType
from edgert_converters.quantize.insert import add_initializer, apply_plan
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.weighted import WEIGHTED

__all__ = ["apply_for_tensorrt"]


def apply_for_tensorrt(model: ir.Model, plan: Plan) -> ir.Model:
    """Returns a quantized copy of the float model with int8 activations and float biases.

    Args:
        model: the float graph that the plan was made for; not changed.
        plan: of a symmetric scheme, its weights rounded.

    Raises:
        ValueError: the plan's activations are not symmetric.
    """
    if not plan.scheme.symmetric:
        raise ValueError("TensorRT takes symmetric activations only")
    copy = apply_plan(model, plan, DType.INT8)
    for node in copy.graph:
        if node.name not in plan.integer_nodes or node.op_type not in WEIGHTED or len(node.inputs) < 3:
            continue
        rounded = plan.weights[str(node.name)]
        if rounded.bias is None or rounded.bias_params is None:
            continue
        real = rounded.bias.astype("float64") * rounded.bias_params.scale
        node.replace_input_with(2, add_initializer(copy.graph, f"{node.name}.bias__float", real.astype("float32")))
    RemoveUnusedNodesPass()(copy)
    return copy
