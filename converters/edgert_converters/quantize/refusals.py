"""Why an operator stays float: what it is, what it reads, and how far the ranges of its branches lie apart."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from edgert_converters.control_flow import is_control_flow
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import QuantRule
from edgert_converters.quantize.statistics import TensorStatistics
from edgert_converters.quantize.weighted import WEIGHTED

__all__ = ["KEEP_FLOAT", "branch_refusal", "is_activation", "label_of", "name_of", "refusal"]

MAX_BRANCH_RATIO = 8.0
"""Branches whose ranges differ by more lose 3 of 8 bits or more in a shared scale, so they do not share one.

16 bits lose nothing that counts: there the rule does not apply.
"""

KEEP_FLOAT = "edgert.keep_float"
"""Metadata of a node that a step of the chain put in and that must stay float; its text says why."""

_BRANCHING = frozenset({"Add", "Sub", "Concat"})


def refusal(node: ir.Node) -> str | None:
    """Returns why an operator cannot run in integers whatever its ranges, or None."""
    operator = OPERATORS.get(node.op_type) if node.domain in {"", "ai.onnx"} else None
    kept = node.metadata_props.get(KEEP_FLOAT)
    if kept or is_control_flow(node):
        return kept or "what is inside of control flow is never quantized"
    if operator is None:
        return "operator is not in the operator table"
    if operator.quantization is QuantRule.FLOAT or operator.integer is None:
        return "operator has no integer rule"
    if node.op_type == "AveragePool" and any(d != 1 for d in node.attributes.get_ints("dilations", ())):
        return "ONNX Runtime cannot load dilated average pooling in integers"
    if any(value.name and value.dtype not in {ir.DataType.FLOAT, None} for value in node.outputs):
        return "one of its outputs is not float"
    if not node.inputs or node.inputs[0] is None or not is_activation(node.inputs[0]):
        return "its input is not a float activation"
    if node.op_type in WEIGHTED:
        return _weight_refusal(node)
    return None


def _weight_refusal(node: ir.Node) -> str | None:
    weight = node.inputs[1]
    if weight is None or weight.const_value is None:
        return "its weights are not constant"
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and (bias.const_value is None or len(bias.const_value.shape) != 1):
        return "its bias is not a constant vector"
    return None


def branch_refusal(node: ir.Node, statistics: Mapping[str, TensorStatistics]) -> str | None:
    """Returns why one scale would not do for all branches of an operator, or None."""
    if node.op_type in _BRANCHING:
        branches = [value for value in node.inputs if value is not None and is_activation(value)]
    elif node.op_type == "Split":
        branches = list(node.outputs)
    else:
        return None
    spans = [span for value in branches if (span := _span(statistics.get(name_of(value)))) > 0.0]
    if len(spans) < 2 or max(spans) <= MAX_BRANCH_RATIO * min(spans):
        return None
    return f"its branches' ranges differ by {max(spans) / min(spans):.3g}x (limit {MAX_BRANCH_RATIO:g}x)"


def _span(statistics: TensorStatistics | None) -> float:
    if statistics is None or statistics.histogram.count == 0:
        return 0.0
    return max(statistics.histogram.maximum, 0.0) - min(statistics.histogram.minimum, 0.0)


def is_activation(value: ir.Value) -> bool:
    """True for a float value that is no constant."""
    return value.const_value is None and value.dtype in {ir.DataType.FLOAT, None}


def label_of(node: ir.Node) -> str:
    """Returns the name of a node, which every node of a clean graph has."""
    if node.name is None:
        raise AssertionError(f"a {node.op_type} node has no name")
    return node.name


def name_of(value: ir.Value) -> str:
    """Returns the name of a value."""
    if value.name is None:
        raise AssertionError("a value has no name")
    return value.name
