"""Models that arrive quantized (from quantization-aware training or another tool): found, kept, or stripped."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgert.dtypes import DType
from edgert.quant import QuantParams, dequantize
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.insert import add_initializer
from edgert_converters.requantize import Requantize, set_requantize

__all__ = ["is_quantized", "strip_quantization"]

_QUANTIZE = "QuantizeLinear"
_DEQUANTIZE = "DequantizeLinear"
_NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "HardSigmoid", "Softmax", "Exp", "Abs"})


def is_quantized(model: ir.Model) -> bool:
    """True when activations are quantized; constants stored as integers alone (dynamic range) leave a float model."""
    return any(node.op_type == _QUANTIZE for node in model.graph)


def strip_quantization(model: ir.Model) -> ir.Model:
    """Returns a float copy: every QuantizeLinear -> DequantizeLinear pair removed, integer constants made float.

    Where a pair's range starts at zero it may have done the work of a ReLU, so a Relu takes its place.
    """
    copy = model.clone()
    set_requantize(copy, Requantize.FP32)
    for node in list(copy.graph):
        if node.op_type != _DEQUANTIZE:
            continue
        source = node.inputs[0]
        producer = source.producer() if source is not None else None
        if producer is not None and producer.op_type == _QUANTIZE:
            replacement = _clamped(copy.graph, producer)
        else:
            replacement = _float_constant(copy.graph, node)
        if replacement is not None:
            _replace(copy.graph, node, replacement)
    for node in reversed(list(copy.graph)):
        if node.op_type == _QUANTIZE and not node.outputs[0].uses():
            copy.graph.remove(node, safe=True)
    RemoveUnusedNodesPass()(copy)  # the integers of the constants, whose names a new quantization needs
    return copy


def _clamped(graph: ir.Graph, quantize: ir.Node) -> ir.Value | None:
    value = quantize.inputs[0]
    zero_point = _constant(quantize.inputs[2]) if len(quantize.inputs) > 2 else np.zeros(1, np.uint8)
    source = value.producer() if value is not None else None
    if value is None or zero_point is None or (source is not None and source.op_type in _NEVER_NEGATIVE):
        return value
    if np.any(zero_point != DType.from_numpy(zero_point.dtype).integer_range[0]):
        return value
    relu = ir.node("Relu", [value], name=f"{quantize.name}.relu")
    relu.outputs[0].name = f"{value.name}__relu"
    relu.outputs[0].type, relu.outputs[0].shape = value.type, value.shape
    graph.insert_before(quantize, relu)
    return relu.outputs[0]


def _replace(graph: ir.Graph, node: ir.Node, replacement: ir.Value) -> None:
    output = node.outputs[0]
    name, is_output = output.name, output.is_graph_output()
    ir.convenience.replace_all_uses_with(output, replacement, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    if is_output and not replacement.is_graph_input() and not replacement.is_initializer():
        replacement.name = name


def _float_constant(graph: ir.Graph, node: ir.Node) -> ir.Value | None:
    constants = [_constant(value) for value in node.inputs]
    integers, scale = constants[0], constants[1]
    if integers is None or scale is None:
        return None
    zero_point = constants[2] if len(constants) > 2 and constants[2] is not None else np.zeros(scale.shape, np.int32)
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 1
    return add_initializer(graph, f"{node.name}.float", _real_values(integers, scale, zero_point, axis))


def _real_values(integers: Array, scale: Array, zero_point: Array, axis: int) -> Array:
    params = QuantParams(
        tuple(float(s) for s in scale.reshape(-1)),
        tuple(int(z) for z in zero_point.reshape(-1)),
        DType.from_numpy(integers.dtype),
        None if scale.size == 1 else axis % integers.ndim,
    )
    return dequantize(integers, params)


def _constant(value: ir.Value | None) -> Array | None:
    return None if value is None or value.const_value is None else value.const_value.numpy()
