"""Other forms of a QDQ graph with the same integers: int8 instead of uint8, and real numbers at its ends.

TFLite's kernels are signed and its exporter takes a graph with real inputs and outputs.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert_converters.ops.spec import Array
from edgert_converters.units import is_standard, static_params

__all__ = ["SHIFT", "to_signed", "unsigned_values", "with_real_ends"]

SHIFT = 128
"""An int8 integer is the uint8 integer of the same value less this."""


def unsigned_values(model: ir.Model) -> frozenset[str]:
    """Returns the names of the values that hold uint8 integers with a scale."""
    found = set()
    for node in model.graph:
        if _is_unsigned_pair(node):
            value = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
            found.add(str(value.name) if value is not None else "")
    return frozenset(found)


def to_signed(model: ir.Model) -> ir.Model:
    """Returns a copy whose uint8 values are int8: every zero point, constant, input and output moves by 128."""
    copy = model.clone()
    for node in list(copy.graph):
        if not _is_unsigned_pair(node):
            continue
        _move_zero_point(copy.graph, node)
        source = node.inputs[0]
        if node.op_type == "DequantizeLinear" and source is not None and source.const_value is not None:
            node.replace_input_with(0, _shifted_constant(copy.graph, source))
    for node in copy.graph:
        for value in node.outputs:
            _retype(value)
    for value in copy.graph.inputs:
        _retype(value)
    return copy


def with_real_ends(model: ir.Model) -> ir.Model:
    """Returns a copy with a QuantizeLinear behind each integer input and a DequantizeLinear before each such output.

    The integers keep their names; the real value beside NAME is called NAME__real.
    """
    copy = model.clone()
    graph = copy.graph
    for position, value in enumerate(list(graph.inputs)):
        readers = [use.node for use in value.uses() if is_standard(use.node, "DequantizeLinear") and use.idx == 0]
        if not readers:
            continue
        real = _real(value)
        node = ir.node("QuantizeLinear", [real, *readers[0].inputs[1:]], name=f"{value.name}__quantize")
        integers = node.outputs[0]
        name, integers.type, integers.shape = value.name, value.type, value.shape
        graph.inputs[position] = real
        value.replace_all_uses_with(integers)
        value.name = f"{name}__was"
        integers.name = name
        graph.insert_before(graph[0], node)
    for position, value in enumerate(list(graph.outputs)):
        maker = value.producer()
        if maker is None or not is_standard(maker, "QuantizeLinear"):
            continue
        node = ir.node("DequantizeLinear", [value, *maker.inputs[1:]], name=f"{value.name}__dequantize")
        node.outputs[0].name = f"{value.name}__real"
        node.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
        graph.append(node)
        graph.outputs[position] = node.outputs[0]
    return copy


def _is_unsigned_pair(node: ir.Node) -> bool:
    if not is_standard(node, "QuantizeLinear") and not is_standard(node, "DequantizeLinear"):
        return False
    zero_point = node.inputs[2] if len(node.inputs) > 2 else None
    if zero_point is not None and zero_point.const_value is not None:
        return zero_point.const_value.dtype is ir.DataType.UINT8
    source = node.inputs[0]
    quantizes = node.op_type == "QuantizeLinear"  # without a zero point: uint8 0
    return zero_point is None and (quantizes or (source is not None and source.dtype is ir.DataType.UINT8))


def _move_zero_point(graph: ir.Graph, node: ir.Node) -> None:
    params = static_params(node, 1)
    values = (np.asarray(params.zero_point, np.int64) - SHIFT).astype(np.int8)
    shape = () if params.axis is None else (-1,)
    base = node.outputs[0].name or "value"
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, _initializer(graph, f"{base}__signed_zero_point", values.reshape(shape)))


def _shifted_constant(graph: ir.Graph, source: ir.Value) -> ir.Value:
    name = f"{source.name}__signed"
    if name in graph.initializers:
        return graph.initializers[name]
    array = np.asarray(source.const_value.numpy() if source.const_value is not None else 0, np.int16)
    return _initializer(graph, name, (array - SHIFT).astype(np.int8))


def _initializer(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    unique, number = name, 1
    while unique in graph.initializers:
        unique, number = f"{name}_{number}", number + 1
    tensor = ir.tensor(array, name=unique)
    value = ir.Value(name=unique, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def _retype(value: ir.Value) -> None:
    if value.dtype is ir.DataType.UINT8:
        value.dtype = ir.DataType.INT8


def _real(value: ir.Value) -> ir.Value:
    return ir.Value(name=f"{value.name}__real", shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT))
