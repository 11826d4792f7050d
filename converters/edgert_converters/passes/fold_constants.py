"""Computes everything that depends on constants only (onnxscript's folder), but never a DequantizeLinear."""

from __future__ import annotations

import logging

import onnx_ir as ir
from onnx_ir.passes import common

from edgert_converters.passes.graph_edits import constant_array, is_onnx_op

__all__ = ["fold_constants"]

# a folded tensor may be no larger than this; a shape chain or a cast weight never is
_OUTPUT_LIMIT_ELEMENTS = 1 << 28
_GROWING = {"ConstantOfShape", "Expand", "Tile", "Range", "OneHot", "EyeLike"}
_GROWTH_LIMIT_ELEMENTS = 1 << 20


def fold_constants(model: ir.Model) -> int:
    """Returns how many nodes fell away: folded ones, Constant nodes (they become initializers) and dead ones.

    QuantizeLinear and DequantizeLinear stay whatever they read. So do operators that make a large tensor out of a small
    one, above 1 Mi elements. Weights stored as float16 behind Cast become float32 initializers.
    """
    from onnxscript import optimizer

    before = model.graph.num_nodes()
    # the folder logs every node it skips at warning level
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    optimizer.fold_constants_ir(
        model,
        onnx_shape_inference=True,
        output_size_limit=_OUTPUT_LIMIT_ELEMENTS,
        should_fold=_may_fold,
    )
    common.RemoveUnusedNodesPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.OutputFixPass()(model)
    return before - model.graph.num_nodes()


def _may_fold(node: ir.Node) -> bool:
    if is_onnx_op(node, "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"):
        return False
    if node.op_type not in _GROWING:
        return True
    output = node.outputs[0]
    if output.shape is None or not output.shape.is_static():
        return is_onnx_op(node, "Range") and all(constant_array(value) is not None for value in node.inputs)
    size = 1
    for dim in output.shape:
        size *= int(dim) if isinstance(dim, int) else _GROWTH_LIMIT_ELEMENTS
    return size <= _GROWTH_LIMIT_ELEMENTS
