"""Merges a Transpose into the Transpose before it and drops the pair where they cancel."""

from __future__ import annotations

import onnx_ir as ir

from edgert_converters.passes.graph_edits import bypass, is_onnx_op, replace_node

__all__ = ["merge_transposes"]


def merge_transposes(model: ir.Model) -> int:
    """Returns how many pairs became one Transpose or none.

    The first of a pair stays where others read it. Left alone: a Transpose of something else in between.
    """
    return sum(_merge(model.graph, node) for node in list(model.graph) if is_onnx_op(node, "Transpose"))


def _merge(graph: ir.Graph, second: ir.Node) -> bool:
    inner = second.inputs[0]
    first = inner.producer() if inner is not None else None
    if inner is None or first is None or not is_onnx_op(first, "Transpose"):
        return False
    source = first.inputs[0]
    orders = [list(node.attributes.get_ints("perm", ())) for node in (first, second)]
    if source is None or len(orders[0]) != len(orders[1]) or not orders[0]:
        return False
    joined = [orders[0][axis] for axis in orders[1]]
    if joined == sorted(joined):
        if not bypass(graph, second, source):
            return False
    else:
        replace_node(graph, second, "Transpose", [source], {"perm": joined})
    if not inner.uses() and not inner.is_graph_output():
        graph.remove(first, safe=True)
    return True
