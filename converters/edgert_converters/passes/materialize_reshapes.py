"""Gives a Reshape a constant target where its output shape is known, so that the Shape chain before it falls away."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert_converters.passes.graph_edits import add_initializer, constant_array, is_onnx_op

__all__ = ["materialize_reshapes"]


def materialize_reshapes(model: ir.Model) -> int:
    """Returns how many targets became constants; one dynamic dimension is written as -1.

    Left alone: a target that is constant already, an output of unknown rank or with two dynamic dimensions, and an
    output with a dimension of 0 (which Reshape would read as "copy").
    """
    return sum(_materialize(model.graph, node) for node in list(model.graph) if is_onnx_op(node, "Reshape"))


def _materialize(graph: ir.Graph, node: ir.Node) -> bool:
    output = node.outputs[0]
    if len(node.inputs) < 2 or constant_array(node.inputs[1]) is not None or output.shape is None:
        return False
    dims = [dim if isinstance(dim, int) else -1 for dim in output.shape]
    if dims.count(-1) > 1 or 0 in dims:
        return False
    target = add_initializer(graph, f"{output.name}/shape", np.asarray(dims, np.int64))
    node.replace_input_with(1, target)
    return True
