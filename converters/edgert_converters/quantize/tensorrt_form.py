"""The quantized graph as TensorRT takes it: symmetric activations and biases that stay float.

Source: NVIDIA, TensorRT documentation, "Explicit quantization": int8 with zero point 0 on both sides, weights behind
DequantizeLinear with a scale per output channel, both inputs of a residual Add behind QuantizeLinear and
DequantizeLinear. TensorRT adds biases in float, so none is rounded here. It was not run: no such device is at hand;
tensorrt_lint.py checks every graph that leaves here against the rules.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgert.dtypes import DType
from edgert.errors import InternalError
from edgert_converters.quantize.insert import add_initializer, apply_plan
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.scheme import Granularity
from edgert_converters.quantize.tensorrt_lint import lint_for_tensorrt
from edgert_converters.quantize.weighted import WEIGHTED

__all__ = ["apply_for_tensorrt", "notes_for_tensorrt"]


def apply_for_tensorrt(model: ir.Model, plan: Plan) -> ir.Model:
    """Returns a quantized copy of the float model with int8 activations and float biases.

    Args:
        model: the float graph that the plan was made for; not changed.
        plan: of a symmetric scheme, its weights rounded.

    Raises:
        ValueError: the plan's activations are not symmetric.
        InternalError: the graph breaks one of TensorRT's rules; the node is named.
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
    per_channel = plan.scheme.granularity is Granularity.CHANNEL
    findings = lint_for_tensorrt(copy, {layer.name for layer in plan.float_layers}, per_channel=per_channel)
    if findings:
        raise InternalError(f"the graph for TensorRT breaks {len(findings)} rules, first: {findings[0]}")
    return copy


def notes_for_tensorrt(model: ir.Model) -> tuple[str, ...]:
    """Returns why TensorRT would not take a graph that came quantized, as a note for its variant; () where it does."""
    findings = lint_for_tensorrt(model)
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return tuple(f"not for TensorRT: {finding}{more}; --requantize makes onnx-int8-trt" for finding in findings[:1])
