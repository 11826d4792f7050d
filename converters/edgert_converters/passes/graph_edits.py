"""Small edits of an onnx_ir graph that several passes share; each keeps names of tensors that are left in the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

__all__ = [
    "add_initializer",
    "bypass",
    "constant_array",
    "is_onnx_op",
    "only_consumer",
    "producer_of",
    "replace_node",
    "static_dims",
]

Array = NDArray[Any]  # Any: the element type is data


def is_onnx_op(node: ir.Node | None, *op_types: str) -> bool:
    """True where the node is one of these operators of the standard domain."""
    return node is not None and node.domain in {"", "ai.onnx"} and node.op_type in op_types


def constant_array(value: ir.Value | None) -> Array | None:
    """Returns the numbers of an initializer that no caller can override, else None."""
    if value is None or value.const_value is None or not value.is_initializer() or value.is_graph_input():
        return None
    return np.asarray(value.const_value.numpy())


def static_dims(value: ir.Value | None) -> tuple[int, ...] | None:
    """Returns the shape where every dimension is a known number, else None."""
    if value is None or value.shape is None:
        return None
    dims = [dim for dim in value.shape if isinstance(dim, int)]
    return tuple(dims) if len(dims) == len(value.shape) else None


def producer_of(value: ir.Value | None) -> ir.Node | None:
    """Returns the node that computes a value; None for graph inputs, initializers and absent inputs."""
    return None if value is None else value.producer()


def only_consumer(value: ir.Value) -> ir.Node | None:
    """Returns the single node that reads a value, or None where there are more readers or it is a graph output.

    A reader inside a body of If, Loop or Scan is none that a pass could merge with: then None as well.
    """
    uses = tuple(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node.graph is not value.graph:
        return None
    return uses[0].node


def add_initializer(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """Adds a constant under `name` (numbered where the name is taken) and returns its value."""
    unique, count = name, 0
    while unique in graph.initializers:
        count += 1
        unique = f"{name}_{count}"
    tensor = ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=unique)  # it makes scalars rank 1
    value = ir.Value(name=unique, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def replace_node(
    graph: ir.Graph,
    old: ir.Node,
    op_type: str,
    inputs: Sequence[ir.Value | None],
    attributes: Mapping[str, Any] | None = None,  # Any: attribute values of every ONNX kind
) -> ir.Node:
    """Puts a one-output operator in the place of a one-output node; node name and output name stay."""
    new = ir.node(op_type, list(inputs), dict(attributes or {}), name=old.name)
    source, result = old.outputs[0], new.outputs[0]
    result.name, result.type, result.shape = source.name, source.type, source.shape
    graph.insert_before(old, new)
    ir.convenience.replace_all_uses_with(source, result, replace_graph_outputs=True)
    graph.remove(old, safe=True)
    return new


def bypass(graph: ir.Graph, node: ir.Node, value: ir.Value) -> bool:
    """Lets the readers of `node`'s output read `value` instead and removes the node.

    Where the output is a graph output, its name moves to `value`. Returns False, and changes nothing, where that would
    rename a graph input, a constant or another output.
    """
    output = node.outputs[0]
    if output.is_graph_output():
        if value.producer() is None or value.is_graph_output():
            return False
        value.name, output.name = output.name, f"{output.name}/removed"
    if value.shape is None:
        value.shape = output.shape
    ir.convenience.replace_all_uses_with(output, value, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return True
