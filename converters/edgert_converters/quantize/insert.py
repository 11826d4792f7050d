"""Carries out a plan: puts QuantizeLinear and DequantizeLinear into a copy of the graph.

Names: a value that an integer operator makes keeps its name after DequantizeLinear, so that float and quantized graphs
can be compared by name; its integers are called NAME__q and what the operator computes NAME__float. A value that a
float operator makes (or an input) keeps its name as it is, and integer operators read NAME__dq.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import DeduplicateHashedInitializersPass, RemoveUnusedNodesPass

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams, quantize
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import Array, QuantRule
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.ranges import params_for_range, symmetric_params

__all__ = ["add_dequantized", "add_initializer", "apply_plan", "raise_opset"]

_WIDE_OPSET, _WIDE_IR_VERSION = 21, 10
_OPERANDS = frozenset({"Add", "Sub", "Mul", "Div", "Concat", "Max", "Min", "Sum", "Mean"})


def apply_plan(model: ir.Model, plan: Plan, encoding: DType) -> ir.Model:
    """Returns a quantized copy of the float model.

    Args:
        model: the clean float graph the plan was made for; not changed.
        plan: see plan.py; its weights are rounded.
        encoding: int8 or uint8 activations; the same integers, shifted by 128. int16 for a plan made for that, which
            raises the copy to the opset that 16-bit integers need.

    Raises:
        ModelError: int16, and an operator means something else in that opset.
    """
    copy = model.clone()
    if encoding is DType.INT16:
        raise_opset(copy)
    elif not plan.scheme.symmetric:
        # a symmetric range reaches below zero: there the clamps stay, between their operator and its QuantizeLinear
        _remove_fused_clamps(copy.graph, plan)
    for node in list(copy.graph):
        if node.name not in plan.integer_nodes:
            continue
        if node.op_type == "AveragePool":
            # all ones here (plan.py), but ONNX Runtime refuses the mere attribute on its integer form
            node.attributes.pop("dilations", None)
        if OPERATORS[node.op_type].quantization is QuantRule.COMPUTE:
            _quantize_weighted(copy.graph, node, plan)
        elif node.op_type in _OPERANDS:
            _quantize_constants(copy.graph, node, plan, encoding)
    values = {value.name: value for node in copy.graph for value in node.outputs}
    values |= {value.name: value for value in copy.graph.inputs}
    for name, params in plan.params.items():
        producer = values[name].producer()
        made_in_integers = producer is not None and producer.name in plan.integer_nodes
        _quantize_value(copy.graph, values[name], params.shifted(encoding), made_in_integers, plan)
    RemoveUnusedNodesPass()(copy)
    DeduplicateHashedInitializersPass()(copy)  # constants that several operators read, and equal scales
    copy.graph.sort()
    return copy


def raise_opset(model: ir.Model) -> None:
    """Raises a model in place to opset 21, the first with 16- and 4-bit integers.

    Raises:
        ModelError: an operator means something else there.
    """
    for node in model.graph:
        if node.op_type == "GroupNormalization" and node.domain in {"", "ai.onnx"}:
            raise ModelError(
                "GroupNormalization cannot be part of a model with 16-bit activations or 4-bit weights", node=node.name
            )
    model.graph.opset_imports[""] = _WIDE_OPSET
    model.opset_imports[""] = _WIDE_OPSET
    model.ir_version = max(model.ir_version, _WIDE_IR_VERSION)


def _remove_fused_clamps(graph: ir.Graph, plan: Plan) -> None:
    for node in list(graph):
        if node.name not in plan.fused_clamps:
            continue
        before, after = node.inputs[0], node.outputs[0]
        if before is None:
            raise AssertionError(f"clamp {node.name!r} has no input")
        name = after.name
        after.name = f"{name}__clamped"
        ir.convenience.replace_all_uses_with(after, before, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        before.name = name


def _quantize_weighted(graph: ir.Graph, node: ir.Node, plan: Plan) -> None:
    for name in ("alpha", "beta"):
        if name in node.attributes:  # read_weighted has multiplied them in
            node.attributes[name] = ir.AttrFloat32(name, 1.0)
    rounded = plan.weights[str(node.name)]
    weight = add_dequantized(graph, node, f"{node.name}.weight", rounded.weight, rounded.weight_params)
    node.replace_input_with(1, weight)
    if rounded.bias is not None and rounded.bias_params is not None:
        node.replace_input_with(2, add_dequantized(graph, node, f"{node.name}.bias", rounded.bias, rounded.bias_params))


def _quantize_constants(graph: ir.Graph, node: ir.Node, plan: Plan, encoding: DType) -> None:
    for index, value in enumerate(node.inputs):
        if value is None or value.const_value is None:
            continue
        array = value.const_value.numpy().astype(np.float32)
        low, high = float(array.min()), float(array.max())
        if encoding is DType.INT16:
            params = symmetric_params(low, high, encoding)
        elif plan.scheme.symmetric:
            params = symmetric_params(low, high, DType.INT8).shifted(encoding)
        else:
            params = params_for_range(low, high).shifted(encoding)
        integers = quantize(array, params)
        node.replace_input_with(index, add_dequantized(graph, node, f"{node.name}.operand{index}", integers, params))


def _quantize_value(graph: ir.Graph, value: ir.Value, params: QuantParams, made_in_integers: bool, plan: Plan) -> None:
    name = value.name
    readers = [(node, index) for node, index in value.uses()]
    scale, zero_point = _parameters(graph, f"{name}", params)
    quantized = ir.node("QuantizeLinear", [value, scale, zero_point], name=f"{name}.quantize")
    restored = ir.node("DequantizeLinear", [quantized.outputs[0], scale, zero_point], name=f"{name}.dequantize")
    after = restored.outputs[0]
    after.shape, after.type = value.shape, value.type
    graph.extend([quantized, restored])
    quantized.outputs[0].name = f"{name}__q"
    quantized.outputs[0].type = ir.TensorType(ir.DataType[params.dtype.name])
    quantized.outputs[0].shape = value.shape
    for node, index in readers:
        if made_in_integers or node.name in plan.integer_nodes:
            node.replace_input_with(index, after)
    if made_in_integers:
        value.name = f"{name}__float"
        after.name = name
        for index, output in enumerate(graph.outputs):
            if output is value:
                graph.outputs[index] = after
    else:
        after.name = f"{name}__dq"


def add_dequantized(graph: ir.Graph, before: ir.Node, name: str, integers: Array, params: QuantParams) -> ir.Value:
    """Adds an integer constant behind DequantizeLinear in front of a node; returns the real-valued output."""
    data = add_initializer(graph, f"{name}__q", integers)
    scale, zero_point = _parameters(graph, name, params)
    attributes = {} if params.axis is None else {"axis": params.axis}
    node = ir.node("DequantizeLinear", [data, scale, zero_point], attributes, name=f"{name}.dequantize")
    node.outputs[0].name = f"{name}__dq"
    node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    node.outputs[0].shape = ir.Shape(integers.shape)
    graph.insert_before(before, node)
    return node.outputs[0]


def _parameters(graph: ir.Graph, name: str, params: QuantParams) -> tuple[ir.Value, ir.Value]:
    scale = np.asarray(params.scale, np.float32)
    zero_point = np.asarray(params.zero_point, params.dtype.numpy)
    if params.axis is None:
        scale, zero_point = scale.reshape(()), zero_point.reshape(())
    return add_initializer(graph, f"{name}__scale", scale), add_initializer(graph, f"{name}__zero_point", zero_point)


def add_initializer(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """Returns a new constant of the graph."""
    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value
