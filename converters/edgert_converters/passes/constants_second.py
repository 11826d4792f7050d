"""Puts the constant of a sum or product behind the activation, where the quantizer looks for the activation first."""

from __future__ import annotations

import onnx_ir as ir

from edgert_converters.passes.graph_edits import constant_array, is_onnx_op

__all__ = ["constants_second"]


def constants_second(model: ir.Model) -> int:
    """Returns how many Add and Mul got their operands swapped: a constant stood first and none second.

    The result is the same to the last bit. Left alone: everything that does not commute, two constants, and a first
    operand that a caller can override.
    """
    count = 0
    for node in model.graph:
        if not is_onnx_op(node, "Add", "Mul"):
            continue
        first, second = node.inputs
        if constant_array(first) is not None and constant_array(second) is None:
            node.replace_input_with(0, second)
            node.replace_input_with(1, first)
            count += 1
    return count
