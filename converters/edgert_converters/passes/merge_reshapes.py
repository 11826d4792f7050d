"""Brings everything that only renames axes (Squeeze, Unsqueeze, Flatten, some Transposes) into one Reshape."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert_converters.passes.graph_edits import Array, add_initializer, constant_array, is_onnx_op, replace_node

__all__ = ["merge_reshapes"]


def merge_reshapes(model: ir.Model) -> int:
    """Returns how many nodes were merged or turned into a Reshape with a constant target.

    A Transpose that only moves axes of size 1 moves no number and counts as a Reshape. Left alone: an output shape with
    two dynamic dimensions or a dimension of 0, a Transpose that moves numbers, and a Reshape with nothing to merge.
    """
    count = 0
    for node in list(model.graph):
        if _is_view(node):
            count += _merge(model.graph, node)
    return count


def _is_view(node: ir.Node | None) -> bool:
    if node is None or not node.inputs or node.inputs[0] is None:
        return False
    if is_onnx_op(node, "Reshape"):
        return len(node.inputs) == 2 and constant_array(node.inputs[1]) is not None
    return is_onnx_op(node, "Squeeze", "Unsqueeze", "Flatten") or (
        is_onnx_op(node, "Transpose") and _moves_no_number(node, node.inputs[0])
    )


def _moves_no_number(node: ir.Node, source: ir.Value) -> bool:
    if source.shape is None:
        return False
    perm = list(node.attributes.get_ints("perm", ())) or list(range(len(source.shape)))[::-1]
    order = [axis for axis in perm if source.shape[axis] != 1]
    return order == sorted(order)


def _merge(graph: ir.Graph, node: ir.Node) -> bool:
    inner = node.inputs[0]
    first = inner.producer() if inner is not None else None
    merges = first is not None and _is_view(first)
    if inner is None or (is_onnx_op(node, "Reshape") and not merges):
        return False
    source = first.inputs[0] if merges and first is not None else inner
    target = _target(node.outputs[0])
    if source is None or target is None:
        return False
    constant = add_initializer(graph, f"{node.outputs[0].name}/shape", target)
    replace_node(graph, node, "Reshape", [source, constant])
    if merges and first is not None and not inner.uses() and not inner.is_graph_output():
        graph.remove(first, safe=True)
    return True


def _target(output: ir.Value) -> Array | None:
    if output.shape is None:
        return None
    dims = [dim if isinstance(dim, int) else -1 for dim in output.shape]
    return None if dims.count(-1) > 1 or 0 in dims else np.asarray(dims, np.int64)
