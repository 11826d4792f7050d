"""The layers table of a graph: per operator its shapes, multiply-accumulates and bytes, and the graph's memory peak.

Facts are for one sample (batch 1). In a quantized graph QuantizeLinear and DequantizeLinear are folded into the
operators beside them, as engines do it: the table lists the real operators with the integer types they compute in.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from edgert.bundle import LayerRecord
from edgert.codec import JsonValue
from edgert_converters.control_flow import captured_values
from edgert_converters.engine_view import View, behind_dequantize, typed_shapes
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.nodes import build_node, convert_attribute

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir

__all__ = [
    "build_layers",
    "operators_without_macs",
    "peak_activation_bytes",
    "static_shapes",
    "typed_shapes",
    "weight_values",
]

Shapes = dict[str, tuple[int, ...]]
_QDQ = {"QuantizeLinear", "DequantizeLinear"}
# constants of these are settings, not weights
_SETTINGS = {"Clip", "Expand", "Gather", "OneHot", "Pad", "Resize", "Slice", "Split", "Tile", "TopK", "Upsample"}
_VIEWS = {"Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
# engines fuse these into the operator before or write them over their input
_IN_PLACE = {"Clip", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Tanh", *_VIEWS}


def static_shapes(model: onnx_ir.Model) -> Shapes:
    """Returns the shape of every value of the main graph for batch 1.

    Shape inference first; what it cannot tell is read off a run in ONNX Runtime.

    Raises:
        ModelError: a shape cannot be found.
        MissingExtraError: a run is needed and onnxruntime is not installed.
    """
    return {name: shape for name, (shape, _) in typed_shapes(model).items()}


def build_layers(model: onnx_ir.Model) -> tuple[LayerRecord, ...]:
    """Returns one record per operator in graph order; an operator that the table does not know counts 0 MACs.

    Raises:
        ModelError: a shape or type cannot be found.
    """
    view = View(typed_shapes(model))
    shapes = {name: shape for name, (shape, _) in view.typed.items()}
    return tuple(_record(node, view, shapes) for node in model.graph if node.op_type not in _QDQ)


def operators_without_macs(model: onnx_ir.Model) -> tuple[str, ...]:
    """Returns the operators of the graph that the operator table does not know, sorted."""
    return tuple(sorted({n.op_type for n in model.graph if n.op_type not in _QDQ and n.op_type not in OPERATORS}))


def weight_values(node: onnx_ir.Node) -> Iterator[onnx_ir.Value]:
    """Yields the stored weights of a node (initializers, also behind DequantizeLinear), without shapes and bounds."""
    if node.op_type in _SETTINGS:
        return
    for value in (*node.inputs, *captured_values(node)):
        stored = behind_dequantize(value)
        if stored is None or not stored.is_initializer() or stored.const_value is None:
            continue
        if stored.const_value.dtype.name not in {"INT64", "BOOL"}:
            yield stored


def peak_activation_bytes(model: onnx_ir.Model) -> int:
    """Returns the largest sum of live activations over all operators in graph order, for batch 1.

    An input lives from the start to its last reader, an output from its operator to the end. Views and activation
    functions work in place where nobody else reads their input; a Q/DQ pair inside integer operators costs nothing.

    Raises:
        ModelError: a shape or type cannot be found.
    """
    view = View(typed_shapes(model))
    nodes = list(model.graph)
    buffer, size = _assign_buffers(model, nodes, view)
    last: dict[str, int] = {}
    first: dict[str, int] = {}
    for value in model.graph.inputs:
        first[buffer[value.name or ""]] = 0
        last.setdefault(buffer[value.name or ""], 0)
    for step, node in enumerate(nodes):
        for touched in (*node.inputs, *captured_values(node), *node.outputs):
            if touched is not None and touched.name in buffer:
                owner = buffer[touched.name]
                first.setdefault(owner, step)
                last[owner] = step
    for value in model.graph.outputs:
        if value.name in buffer:
            last[buffer[value.name]] = len(nodes)
    change = [0] * (len(nodes) + 2)
    for owner, start in first.items():
        change[start] += size[owner]
        change[last[owner] + 1] -= size[owner]
    return int(max(np.cumsum(change)))


def _record(node: onnx_ir.Node, view: View, shapes: Shapes) -> LayerRecord:
    quantized = view.is_quantized(node)
    weights = list(weight_values(node))
    inputs = []
    for value in (*node.inputs, *captured_values(node)):
        seen = behind_dequantize(value) if quantized else value
        stored = behind_dequantize(value)
        if seen is not None and stored is not None and not stored.is_initializer():
            inputs.append(seen)
    outputs = [value for value in node.outputs if value.name and (value.uses() or value.is_graph_output())]
    results = [view.stored_output(value) if quantized else value for value in outputs]
    dtype = view.result_dtype(outputs[0]) if quantized and outputs else view.dtype(node.outputs[0])
    output_bytes = sum(prod(view.shape(v)) * (dtype if quantized else view.dtype(v)).itemsize_bytes for v in results)
    return LayerRecord(
        name=node.name or "",
        op=node.op_type,
        inputs=tuple(value.name or "" for value in inputs),
        outputs=tuple(value.name or "" for value in results),
        input_shapes=tuple(view.shape(value) for value in inputs),
        output_shapes=tuple(view.shape(value) for value in results),
        dtype=dtype,
        macs=_macs(node, shapes),
        weight_bytes=sum(view.size_bytes(value) for value in weights),
        activation_bytes=sum(view.size_bytes(value) for value in inputs) + output_bytes,
        attributes=_attributes(node),
    )


def _macs(node: onnx_ir.Node, shapes: Shapes) -> int:
    operator = OPERATORS.get(node.op_type)
    return 0 if operator is None else int(operator.macs(build_node(node, shapes)))


def _attributes(node: onnx_ir.Node) -> dict[str, JsonValue]:
    plain: dict[str, JsonValue] = {}
    for name, attribute in node.attributes.items():
        if attribute.type.name in {"GRAPH", "GRAPHS"}:
            continue
        value = convert_attribute(node, attribute)
        if isinstance(value, np.ndarray):
            continue
        plain[name] = list(value) if isinstance(value, tuple) else value
    return plain


def _assign_buffers(
    model: onnx_ir.Model, nodes: list[onnx_ir.Node], view: View
) -> tuple[dict[str, str], dict[str, int]]:
    """Returns the buffer that holds each activation and the bytes of each buffer."""
    buffer: dict[str, str] = {value.name or "": value.name or "" for value in model.graph.inputs}
    size: dict[str, int] = {value.name or "": view.size_bytes(value) for value in model.graph.inputs}
    for node in nodes:
        source = node.inputs[0] if node.inputs else None
        if node.op_type == "DequantizeLinear" and source is not None and source.is_initializer():
            continue  # a weight, not an activation
        for value in node.outputs:
            if not value.name:
                continue
            shares = source is not None and source.name in buffer and _shares_buffer(node, source, view)
            owner = buffer[source.name or ""] if shares and source is not None else value.name
            buffer[value.name] = owner
            if not shares:
                size[owner] = view.size_bytes(value)
            elif node.op_type in _QDQ:
                size[owner] = min(size[owner], view.size_bytes(value))
    return buffer, size


def _shares_buffer(node: onnx_ir.Node, source: onnx_ir.Value, view: View) -> bool:
    readers = [use.node for use in source.uses()]
    if node.op_type == "QuantizeLinear":
        maker = source.producer()
        return maker is not None and view.stored_output(source) is node.outputs[0] and view.is_quantized(maker)
    if node.op_type == "DequantizeLinear":
        users = [use.node for use in node.outputs[0].uses()]
        return not node.outputs[0].is_graph_output() and all(view.is_quantized(user) for user in users)
    return node.op_type in _IN_PLACE and len(readers) == 1 and not source.is_graph_output()
