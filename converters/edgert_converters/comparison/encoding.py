"""Other forms of a QDQ graph with the same integers: in the other signedness, and with real numbers at its ends.

TFLite's kernels are signed and its exporter takes a graph with real inputs and outputs; ONNX Runtime's are unsigned.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert_converters.ops.spec import Array
from edgert_converters.units import is_standard, static_params

__all__ = ["SHIFT", "to_signed", "to_signed_values", "to_unsigned", "values_of", "with_real_ends"]

SHIFT = 128
"""An int8 integer is the uint8 integer of the same value less this."""


def values_of(model: ir.Model, encoding: ir.DataType) -> frozenset[str]:
    """Returns the names of the values (no constants) that hold int8 or uint8 integers with a scale, as asked."""
    found = set()
    for node in model.graph:
        value = _integers(node) if _encoding(node) is encoding else None
        if value is not None and value.const_value is None:
            found.add(str(value.name))
    return frozenset(found)


def to_signed(model: ir.Model) -> ir.Model:
    """Returns a copy whose uint8 values and constants are int8: every zero point and every integer moves by 128."""
    copy = model.clone()
    for node in list(copy.graph):
        if _encoding(node) is ir.DataType.UINT8:
            _move_zero_point(copy.graph, node, np.int8)
            source = node.inputs[0]
            if node.op_type == "DequantizeLinear" and source is not None and source.const_value is not None:
                node.replace_input_with(0, _signed_constant(copy.graph, source))
    _retype(copy.graph, ir.DataType.UINT8, ir.DataType.INT8)
    return copy


def to_unsigned(model: ir.Model) -> ir.Model:
    """Returns a copy whose int8 values are uint8; constants stay int8. ONNX Runtime does the same where it can."""
    copy = model.clone()
    names = values_of(copy, ir.DataType.INT8)
    for node in list(copy.graph):
        value = _integers(node) if _encoding(node) is ir.DataType.INT8 else None
        if value is not None and value.name in names:
            _move_zero_point(copy.graph, node, np.uint8)
    _retype(copy.graph, ir.DataType.INT8, ir.DataType.UINT8)
    return copy


def to_signed_values(array: Array) -> Array:
    """Returns the int8 integers of the same value as these uint8 integers."""
    return (array.astype(np.int16) - SHIFT).astype(np.int8)


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


def _integers(node: ir.Node) -> ir.Value | None:
    """Returns the integer end of a QuantizeLinear or DequantizeLinear."""
    return node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]


def _encoding(node: ir.Node) -> ir.DataType | None:
    """Returns the type of the integers that a QuantizeLinear or DequantizeLinear makes or reads."""
    if not is_standard(node, "QuantizeLinear") and not is_standard(node, "DequantizeLinear"):
        return None
    zero_point = node.inputs[2] if len(node.inputs) > 2 else None
    if zero_point is not None and zero_point.const_value is not None:
        return zero_point.const_value.dtype
    if node.op_type == "QuantizeLinear":
        return ir.DataType.UINT8 if zero_point is None else None  # the standard's default
    source = node.inputs[0]
    return None if source is None else source.dtype


def _move_zero_point(graph: ir.Graph, node: ir.Node, kind: type[np.int8 | np.uint8]) -> None:
    params = static_params(node, 1)
    move = -SHIFT if kind is np.int8 else SHIFT
    values = (np.asarray(params.zero_point, np.int64) + move).astype(kind)
    shape = () if params.axis is None else (-1,)
    if len(node.inputs) < 3:
        node.resize_inputs(3)
    node.replace_input_with(2, _initializer(graph, f"{node.outputs[0].name}__moved", values.reshape(shape)))


def _signed_constant(graph: ir.Graph, source: ir.Value) -> ir.Value:
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


def _retype(graph: ir.Graph, old: ir.DataType, new: ir.DataType) -> None:
    for value in (*graph.inputs, *(output for node in graph for output in node.outputs)):
        if value.dtype is old:
            value.dtype = new


def _real(value: ir.Value) -> ir.Value:
    return ir.Value(name=f"{value.name}__real", shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT))
