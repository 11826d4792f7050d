"""Brings bounded activations into one form: Relu where only the lower bound 0 binds, else Clip with constant bounds."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert_converters.passes.graph_edits import Array, add_initializer, constant_array, is_onnx_op, replace_node

__all__ = ["canonicalise_clip"]


def canonicalise_clip(model: ir.Model) -> int:
    """Returns how many nodes changed.

    Clip(0, none) becomes Relu; Min or Max with one constant number becomes Clip; a Clip or Relu directly on a Clip or
    Relu becomes one Clip. Left alone: bounds that are computed, bounds per channel, and integers.
    """
    count = 0
    for node in list(model.graph):
        if is_onnx_op(node, "Min", "Max"):
            count += _from_min_max(model.graph, node)
    for node in list(model.graph):
        if is_onnx_op(node, "Clip", "Relu"):
            count += _merge_pair(model.graph, node)
    for node in list(model.graph):
        if is_onnx_op(node, "Clip"):
            count += _to_relu(model.graph, node)
    return count


def _is_float(value: ir.Value | None) -> bool:
    return value is not None and value.dtype in {ir.DataType.FLOAT, ir.DataType.FLOAT16}


def _bounds(node: ir.Node) -> tuple[float, float] | None:
    """Returns the bounds of a Clip or Relu, infinite where absent; None where they are computed."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    found = []
    for position, absent in ((1, -np.inf), (2, np.inf)):
        value = node.inputs[position] if len(node.inputs) > position else None
        array = constant_array(value)
        if value is not None and (array is None or array.size != 1):
            return None
        found.append(absent if array is None else float(array.reshape(-1)[0]))
    return found[0], found[1]


def _from_min_max(graph: ir.Graph, node: ir.Node) -> bool:
    if len(node.inputs) != 2 or not _is_float(node.outputs[0]):
        return False
    arrays = [constant_array(value) for value in node.inputs]
    if (arrays[0] is None) == (arrays[1] is None):
        return False
    position = 0 if arrays[0] is not None else 1
    number, source = arrays[position], node.inputs[1 - position]
    if number is None or number.size != 1 or source is None or source.shape is None or number.ndim > len(source.shape):
        return False
    bound = add_initializer(graph, f"{node.outputs[0].name}/bound", number.reshape(()))
    inputs = [source, bound] if node.op_type == "Max" else [source, None, bound]
    replace_node(graph, node, "Clip", inputs)
    return True


def _merge_pair(graph: ir.Graph, second: ir.Node) -> bool:
    inner = second.inputs[0]
    first = inner.producer() if inner is not None else None
    if inner is None or first is None or not is_onnx_op(first, "Clip", "Relu") or not _is_float(inner):
        return False
    one, two = _bounds(first), _bounds(second)
    if len(inner.uses()) != 1 or inner.is_graph_output() or one is None or two is None:
        return False
    # clip(clip(x, a, b), c, d) with a <= b and c <= d is clip(x, clip(a, c, d), clip(b, c, d))
    if one[0] > one[1] or two[0] > two[1]:
        return False
    low, high = (float(np.clip(bound, *two)) for bound in one)
    dtype = np.float16 if inner.dtype == ir.DataType.FLOAT16 else np.float32
    limits: list[ir.Value | None] = [
        add_initializer(graph, f"{second.outputs[0].name}/{name}", _scalar(bound, dtype))
        if np.isfinite(bound)
        else None
        for name, bound in (("min", low), ("max", high))
    ]
    replace_node(graph, second, "Clip", [first.inputs[0], *limits])
    graph.remove(first, safe=True)
    return True


def _to_relu(graph: ir.Graph, node: ir.Node) -> bool:
    bounds = _bounds(node)
    if bounds is None or not _is_float(node.inputs[0]) or node.inputs[0] is None:
        return False
    if bounds[0] != 0.0 or bounds[1] < np.finfo(np.float32).max:
        return False
    replace_node(graph, node, "Relu", [node.inputs[0]])
    return True


def _scalar(number: float, dtype: type[np.generic]) -> Array:
    return np.asarray(number, dtype)
