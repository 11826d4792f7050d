"""A graph's structure as a key: what its time depends on, which is everything but the values of its weights."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import onnx_ir as ir

from edgert_converters.ops.nodes import convert_attribute

__all__ = ["structure_of"]

_GRAPHS = {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS}
_MOST_SETTINGS = 64
"""Integer constants up to this size are shapes, axes and indices, which decide what is computed."""


def structure_of(model: ir.Model) -> str:
    """Returns a digest that two models share when they differ in names and weights only.

    It covers operators, their attributes and connections, types and shapes of inputs and constants, the batch axis as
    1, and the opset. Bodies of control flow count by their operators.
    """
    numbers: dict[str, int] = {}
    inputs = [value for value in model.graph.inputs if value.name not in model.graph.initializers]
    rows: list[object] = [model.opset_imports.get("", 0)]
    rows += [["input", _number(value, numbers), str(value.dtype), _shape(value)] for value in inputs]
    for node in model.graph:
        operands = [_operand(value, numbers) for value in node.inputs]
        results = [_number(value, numbers) for value in node.outputs if value.name]
        rows.append([node.domain, node.op_type, _attributes(node), operands, results])
    rows.append([_number(value, numbers) for value in model.graph.outputs])
    return hashlib.sha256(json.dumps(rows, default=str).encode()).hexdigest()[:32]


def _number(value: ir.Value, numbers: dict[str, int]) -> int:
    return numbers.setdefault(str(value.name), len(numbers))


def _operand(value: ir.Value | None, numbers: dict[str, int]) -> object:
    if value is None:
        return None
    constant = value.const_value
    if constant is None:
        return _number(value, numbers)
    shape = list(constant.shape.numpy())
    if constant.dtype is ir.DataType.INT64 and constant.size <= _MOST_SETTINGS:
        return [str(constant.dtype), shape, np.asarray(constant.numpy()).ravel().tolist()]
    return [str(constant.dtype), shape]


def _shape(value: ir.Value) -> list[int] | None:
    return None if value.shape is None else [dim if isinstance(dim, int) else 1 for dim in value.shape]


def _attributes(node: ir.Node) -> list[object]:
    found: list[object] = []
    for name, attribute in sorted(node.attributes.items()):
        if attribute.type is ir.AttributeType.GRAPH:
            found.append([name, [inner.op_type for inner in attribute.as_graph()]])
        elif attribute.type not in _GRAPHS:
            value = convert_attribute(node, attribute)
            found.append([name, value.tolist() if isinstance(value, np.ndarray) else value])
    return found
