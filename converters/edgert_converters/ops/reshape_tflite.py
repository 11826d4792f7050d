"""Reshape, Flatten, Squeeze and Unsqueeze to and from TFLite's RESHAPE, SQUEEZE and EXPAND_DIMS.

Where the axes that join or divide lie one behind the other in memory the value keeps its order; else it is transposed
before. A Flatten that only matrix products with constant weights read moves nothing: their rows are reordered.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgert_converters.ops.attributes import get_int
from edgert_converters.tflite.layout import after_reshape, identity, permuted
from edgert_converters.tflite.moves import move, read_moved, reshape

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_expand_dims", "read_reshape", "read_squeeze", "write_reshape"]


def read_reshape(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Reshape with a constant target, or one whose target the model computes from its data."""
    target = graph.reshape_target(operator)
    if target is None:
        shape = graph.add("Cast", [graph.plain(operator.inputs[1])], {"to": 7})
        graph.finish(
            operator,
            graph.add(
                "Reshape",
                [
                    graph.plain(operator.inputs[0]),
                    shape,
                ],
            ),
        )
        return
    _reshape(operator, graph, target)


def read_squeeze(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Reshape without the named axes, or without all of size 1."""
    shape = graph.shape(operator.inputs[0])
    named = operator.options.get("squeeze_dims", ())
    axes = {axis % len(shape) for axis in named if isinstance(axis, int)} if isinstance(named, tuple) else set()
    dropped = axes or {axis for axis, size in enumerate(shape) if size == 1}
    kept = [size for axis, size in enumerate(shape) if axis not in dropped]
    _reshape(operator, graph, _batched(graph, kept, keeps_batch=0 not in dropped))


def read_expand_dims(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Reshape with one more axis of size 1."""
    shape = list(graph.shape(operator.inputs[0]))
    (axis,) = graph.required(operator, 1)
    axis %= len(shape) + 1
    _reshape(operator, graph, _batched(graph, [*shape[:axis], 1, *shape[axis:]], keeps_batch=axis != 0))


def _batched(graph: ImportGraph, shape: list[int], *, keeps_batch: bool) -> tuple[int, ...]:
    """Marks the leading axis as the one that may vary where it is the input's leading axis."""
    return (-1, *shape[1:]) if graph.dynamic_batch and keeps_batch and shape else tuple(shape)


def _reshape(operator: TfOperator, graph: ImportGraph, target: tuple[int, ...]) -> None:
    source = operator.inputs[0]
    shape = graph.shape(source)
    fixed = math.prod(size for size in target if size != -1)
    sizes = tuple(math.prod(shape) // max(fixed, 1) if size == -1 else size for size in target)
    needed, order = after_reshape(shape, graph.read(source).order, sizes)
    if graph.dynamic_batch and (shape[:1] != sizes[:1] or -1 in target[1:]):
        needed, order = identity(len(shape)), identity(len(sizes))
    value = graph.ordered(source, needed)
    if permuted(sizes, order) == permuted(shape, needed) and -1 not in target[1:]:
        graph.place(operator, value, order)
        return
    graph.finish(operator, graph.add("Reshape", [value, graph.ints(permuted(target, order))]), order)


def write_reshape(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a RESHAPE, or nothing where the tensor has that shape already."""
    if not _flatten_before_product(node, graph):
        reshape(node, graph)


def _flatten_before_product(node: ir.Node, graph: ExportGraph) -> bool:
    """Flattens a tensor as it lies, where reordering the rows of the weights behind it makes up for that."""
    shape, target = graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
    if len(target) != 2 or shape[:1] != target[:1]:
        return False
    stored = read_moved(node, graph)
    needed, _ = after_reshape(shape, stored.order, target)
    if needed == stored.order or stored.order[0] != 0:
        return False
    weights = _weights_behind(node, graph, target[1])
    if not weights:
        return False
    places = np.arange(target[1]).reshape(shape[1:])
    rows = np.transpose(places, [axis - 1 for axis in stored.order[1:]]).reshape(-1)
    for value, axis in weights:
        graph.take_constant(value, rows, axis)
    sizes = graph.batched_shape(target)
    shape_tensor = graph.constant_tensor("shape", np.asarray(sizes, np.int32))
    move(node, graph, "RESHAPE", [stored.index, shape_tensor], identity(2), new_shape=sizes)
    return True


def _weights_behind(node: ir.Node, graph: ExportGraph, rows: int) -> list[tuple[ir.Value, int]]:
    """Returns the constant weights that alone meet the node's output, each with its axis of rows; else nothing."""
    found = []
    for reader, index in _readers(node.outputs[0]):
        if index != 0 or reader.op_type not in {"Gemm", "MatMul"} or get_int(graph.describe(reader), "transA", 0):
            return []
        value = reader.inputs[1]
        axis = get_int(graph.describe(reader), "transB", 0)
        array = graph.constant(value)
        if value is None or array is None or array.ndim != 2 or array.shape[axis] != rows or not graph.is_own(value):
            return []
        found.append((value, axis))
    return found


def _readers(value: ir.Value) -> list[tuple[ir.Node, int]]:
    """Returns who reads a value and where, looking through QuantizeLinear, DequantizeLinear; an output reads itself."""
    found: list[tuple[ir.Node, int]] = []
    for use in value.uses():
        if use.node.op_type in {"QuantizeLinear", "DequantizeLinear"} and use.idx == 0:
            found += _readers(use.node.outputs[0])
        else:
            found.append((use.node, use.idx))
    return [(node, -1) for node, _ in found] if value.is_graph_output() else found
