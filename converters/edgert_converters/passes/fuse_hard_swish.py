"""Fuses x * HardSigmoid(x) with slope 1/6 and offset 1/2, in any of its exported spellings, into HardSwish."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert_converters.passes.graph_edits import constant_array, is_onnx_op, only_consumer, replace_node

__all__ = ["fuse_hard_swish"]

# exporters write 1/6 with 6 to 8 digits: 0.1666666, 0.166667, 1/6 in float32
_SLOPE_TOLERANCE = 1e-6


def fuse_hard_swish(model: ir.Model) -> int:
    """Returns how many products became HardSwish.

    Spellings: x * HardSigmoid(x); x * (Clip(x + 3, 0, 6) / 6); (x * Clip(x + 3, 0, 6)) / 6, dividing or multiplying.
    Left alone: other slopes, a factor that is not the same x, and a gate that anybody else reads.
    """
    count = 0
    for node in list(model.graph):
        if is_onnx_op(node, "Mul", "Div") and node.graph is model.graph:
            source = _from_product(node) or _from_scaled_product(node)
            if source is not None:
                replace_node(model.graph, node, "HardSwish", [source])
                count += 1
    return count


def _from_product(node: ir.Node) -> ir.Value | None:
    """Matches x * gate(x)."""
    if node.op_type != "Mul":
        return None
    for gate, other in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
        if gate is None or other is None or only_consumer(gate) is not node:
            continue
        source = _hard_sigmoid_input(gate.producer())
        if source is not None and source is other:
            return source
    return None


def _from_scaled_product(node: ir.Node) -> ir.Value | None:
    """Matches (x * Clip(x + 3, 0, 6)) / 6."""
    product = _divided_by_six(node)
    inner = product.producer() if product is not None else None
    if product is None or inner is None or not is_onnx_op(inner, "Mul") or only_consumer(product) is not node:
        return None
    for gate, other in ((inner.inputs[0], inner.inputs[1]), (inner.inputs[1], inner.inputs[0])):
        if gate is None or other is None or only_consumer(gate) is not inner:
            continue
        source = _relu6_of_shifted(gate.producer())
        if source is not None and source is other:
            return source
    return None


def _hard_sigmoid_input(node: ir.Node | None) -> ir.Value | None:
    if node is None:
        return None
    if is_onnx_op(node, "HardSigmoid"):
        slope, offset = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
        return node.inputs[0] if abs(slope - 1 / 6) < _SLOPE_TOLERANCE and offset == 0.5 else None
    clipped = _divided_by_six(node)
    if clipped is None or only_consumer(clipped) is not node:
        return None
    return _relu6_of_shifted(clipped.producer())


def _divided_by_six(node: ir.Node) -> ir.Value | None:
    """Returns v where the node computes v / 6 or v * (1/6)."""
    if not is_onnx_op(node, "Mul", "Div"):
        return None
    for position in (0, 1) if node.op_type == "Mul" else (0,):
        number = constant_array(node.inputs[1 - position])
        wanted = 6.0 if node.op_type == "Div" else 1 / 6
        if number is not None and number.size == 1 and abs(float(number.reshape(-1)[0]) - wanted) < _SLOPE_TOLERANCE:
            return node.inputs[position]
    return None


def _relu6_of_shifted(node: ir.Node | None) -> ir.Value | None:
    """Returns x where the node computes Clip(x + 3, 0, 6)."""
    if node is None or not is_onnx_op(node, "Clip") or len(node.inputs) != 3:
        return None
    bounds = [constant_array(value) for value in node.inputs[1:]]
    shifted = node.inputs[0]
    if shifted is None or any(b is None or b.size != 1 for b in bounds) or only_consumer(shifted) is not node:
        return None
    if [float(np.asarray(b).reshape(-1)[0]) for b in bounds] != [0.0, 6.0]:
        return None
    add = shifted.producer()
    if add is None or not is_onnx_op(add, "Add"):
        return None
    for source, other in ((add.inputs[0], add.inputs[1]), (add.inputs[1], add.inputs[0])):
        number = constant_array(other)
        if number is not None and number.size == 1 and float(number.reshape(-1)[0]) == 3.0:
            return source
    return None
