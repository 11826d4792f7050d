"""Turns MatMul + Add with constant weights and a bias vector into Gemm, the fully connected form kernels know."""

from __future__ import annotations

import onnx_ir as ir

from edgert_converters.passes.graph_edits import constant_array, is_onnx_op, only_consumer, replace_node

__all__ = ["convert_matmul"]


def convert_matmul(model: ir.Model) -> int:
    """Returns how many pairs became a Gemm.

    Left alone: inputs of any rank but 2 (MatMul broadcasts, Gemm does not), weights that are not constants, and a
    summand that is not a constant vector of one number per output.
    """
    return sum(_convert(model.graph, node) for node in list(model.graph) if is_onnx_op(node, "MatMul"))


def _convert(graph: ir.Graph, matmul: ir.Node) -> bool:
    source, weight_value = matmul.inputs[0], matmul.inputs[1]
    weight = constant_array(weight_value)
    add = only_consumer(matmul.outputs[0])
    if add is None or not is_onnx_op(add, "Add") or weight is None or weight.ndim != 2:
        return False
    if source is None or source.shape is None or len(source.shape) != 2:
        return False
    other = add.inputs[1] if add.inputs[0] is matmul.outputs[0] else add.inputs[0]
    bias = constant_array(other)
    if bias is None or bias.shape not in {(weight.shape[1],), (1, weight.shape[1])} or bias.dtype != weight.dtype:
        return False
    gemm = replace_node(graph, add, "Gemm", [source, weight_value, other])
    gemm.name = matmul.name
    graph.remove(matmul, safe=True)
    return True
