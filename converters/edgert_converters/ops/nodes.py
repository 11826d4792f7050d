"""From `onnx_ir` nodes to the operator table's `Node`: attributes, shapes and constants as plain numpy values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgert.errors import ModelError
from edgert_converters.ops.spec import Array, AttributeValue, Node

__all__ = ["build_attributes", "build_node", "convert_attribute", "read_opset"]

_DEFAULT_OPSET = 18


def build_node(
    node: ir.Node,
    shapes: Mapping[str, tuple[int, ...]],
    constants: Mapping[str, Array] | None = None,
    opset: int | None = None,
) -> Node:
    """Returns the table's view of `node`; `shapes` and `constants` go by value name.

    Constants that are initializers (or outputs of Constant nodes that onnx_ir knows) need not be passed; values in
    `constants` come first. A shape may also stand on the value itself.

    Raises:
        ModelError: a shape is unknown or an attribute has a type that no operator takes.
    """
    known = constants or {}
    found: dict[int, Array] = {}
    for index, value in enumerate(node.inputs):
        array = _constant_of(value, known)
        if array is not None:
            found[index] = array
    inputs = tuple(
        None if v is None else (found[i].shape if i in found else _shape_of(node, v, shapes))
        for i, v in enumerate(node.inputs)
    )
    outputs = tuple(_shape_of(node, v, shapes) for v in node.outputs if v.name)
    return Node(
        op_type=node.op_type,
        name=node.name or "",
        attributes=build_attributes(node),
        input_shapes=inputs,
        output_shapes=outputs,
        constants=found,
        opset=opset if opset is not None else read_opset(node),
    )


def build_attributes(node: ir.Node) -> dict[str, AttributeValue]:
    """Returns the attributes as plain values, without the graphs that If, Loop and Scan hold.

    Raises:
        ModelError: see `convert_attribute`.
    """
    graphs = {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS}
    plain = [attribute for attribute in node.attributes.values() if attribute.type not in graphs]
    return {attribute.name: convert_attribute(node, attribute) for attribute in plain}


def convert_attribute(node: ir.Node, attribute: ir.Attr) -> AttributeValue:
    """Returns the attribute as int, float, str, a tuple of one of them, or an array.

    Raises:
        ModelError: the attribute holds a graph or refers to a function's parameter.
    """
    kinds = ir.AttributeType
    if attribute.is_ref():
        raise ModelError(f"attribute {attribute.name!r} refers to a function parameter", node=node.name)
    if attribute.type == kinds.TENSOR:
        return np.asarray(attribute.as_tensor().numpy())
    if attribute.type in {kinds.INT, kinds.FLOAT, kinds.STRING}:
        scalar: AttributeValue = attribute.value
        return scalar
    if attribute.type in {kinds.INTS, kinds.FLOATS, kinds.STRINGS}:
        return tuple(attribute.value)
    raise ModelError(f"attribute {attribute.name!r} of type {attribute.type.name} is not supported", node=node.name)


def read_opset(node: ir.Node) -> int:
    """Returns the opset of the standard domain that the node's graph imports."""
    imports = node.graph.opset_imports if node.graph is not None else {}
    return int(imports.get("", _DEFAULT_OPSET))


def _constant_of(value: ir.Value | None, constants: Mapping[str, Array]) -> Array | None:
    if value is None:
        return None
    if value.name is not None and value.name in constants:
        return constants[value.name]
    return None if value.const_value is None else np.asarray(value.const_value.numpy())


def _shape_of(node: ir.Node, value: ir.Value, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...]:
    if value.name is not None and value.name in shapes:
        return tuple(shapes[value.name])
    if value.shape is not None and value.shape.is_static():
        return tuple(int(d) for d in value.shape.numpy())
    raise ModelError(f"the shape of {value.name!r} is not known", node=node.name)
