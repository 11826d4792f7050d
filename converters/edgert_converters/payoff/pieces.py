"""Cuts a graph into the pieces that an engine runs as one layer each, as models of their own.

In a float graph a piece is an operator with the clamps behind it; in a quantized one an integer unit with integers at
both ends, or a single float operator, QuantizeLinear or DequantizeLinear that stands outside of units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from edgert.dtypes import DType
from edgert_converters.control_flow import captured_values, is_control_flow
from edgert_converters.layers import typed_shapes
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.nodes import build_node
from edgert_converters.ops.spec import QuantRule
from edgert_converters.payoff.structure import structure_of
from edgert_converters.units import IntegerUnit, dequantizer_of, find_units

__all__ = ["Piece", "cut_pieces"]

Typed = Mapping[str, tuple[tuple[int, ...], DType]]


@dataclass(frozen=True, slots=True)
class Piece:
    """One layer as a model of its own.

    `structure` is what its time depends on; `kind` says in words what it computes; `work` orders layers by size: the
    multiply-accumulates, else the values at its ends.
    """

    name: str
    op: str
    kind: str
    work: int
    model: ir.Model
    structure: str


def cut_pieces(model: ir.Model) -> tuple[Piece, ...]:
    """Returns the pieces of a clean graph, float or quantized, in execution order.

    Raises:
        ModelError: a shape cannot be found.
    """
    typed = typed_shapes(model)
    units = {unit.node: unit for unit in find_units(model.graph)}
    taken = {node for unit in units.values() for node in unit.absorbed}
    pieces = []
    for node in model.graph:
        if node in units:
            pieces.append(_cut_unit(model, units[node], typed))
        elif node not in taken and not _is_free(node, units):
            chain = _clamps_behind(node) if not units else ()
            taken.update(chain)
            last = chain[-1] if chain else node
            inputs = [value for value in node.inputs if value is not None and value.const_value is None]
            pieces.append(_cut(model, node, inputs, last.outputs, typed))
    return tuple(pieces)


def _is_free(node: ir.Node, units: Mapping[ir.Node, IntegerUnit]) -> bool:
    """True for what no engine executes by itself, and for control flow, which cannot be cut."""
    if is_control_flow(node) or any(True for _ in captured_values(node)):
        return True
    if node.op_type != "DequantizeLinear":
        return False
    source = node.inputs[0]
    if source is not None and source.const_value is not None:
        return True
    value = node.outputs[0]
    return not value.is_graph_output() and all(use.node in units for use in value.uses())


def _clamps_behind(node: ir.Node) -> tuple[ir.Node, ...]:
    chain: list[ir.Node] = []
    while len(node.outputs) == 1 and not node.outputs[0].is_graph_output():
        readers = [use.node for use in node.outputs[0].uses()]
        if len(readers) != 1 or readers[0].op_type not in OPERATORS:
            break
        node = readers[0]
        if OPERATORS[node.op_type].quantization is not QuantRule.CLAMP or any(
            value is not None and value.const_value is None for value in node.inputs[1:]
        ):
            break
        chain.append(node)
    return tuple(chain)


def _cut_unit(model: ir.Model, unit: IntegerUnit, typed: Typed) -> Piece:
    inputs = []
    for value in unit.node.inputs:
        maker = dequantizer_of(value) if value is not None else None
        source = maker.inputs[0] if maker is not None else value
        if source is not None and source.const_value is None:
            inputs.append(source)
    return _cut(model, unit.node, inputs, [node.outputs[0] for node in unit.quantize], typed)


def _cut(
    model: ir.Model, node: ir.Node, inputs: Sequence[ir.Value], outputs: Sequence[ir.Value], typed: Typed
) -> Piece:
    names = list(dict.fromkeys(str(value.name) for value in inputs))
    graph = ir.convenience.extract(model.graph, names, [str(value.name) for value in outputs if value.name])
    for value in (*graph.inputs, *graph.outputs):
        shape, dtype = typed[str(value.name)]
        value.shape = ir.Shape(shape)
        value.dtype = ir.DataType[dtype.name]
    graph.opset_imports.update(model.graph.opset_imports)
    part = ir.Model(graph, ir_version=model.ir_version or 8)
    shapes = {name: shape for name, (shape, _) in typed.items()}
    operator = OPERATORS.get(node.op_type)
    macs = 0 if operator is None else int(operator.macs(build_node(node, shapes)))
    work = macs or sum(prod(typed[str(value.name)][0]) for value in (*graph.inputs, *graph.outputs))
    return Piece(node.name or "", node.op_type, _kind(node, typed), work, part, structure_of(part))


def _kind(node: ir.Node, typed: Typed) -> str:
    """The operator; of a convolution also its kernel, and whether it is depthwise, which decides its time."""
    if node.op_type not in {"Conv", "ConvTranspose"} or node.inputs[1] is None:
        return node.op_type
    source = node.inputs[0]
    channels = typed[str(source.name)][0][1] if source is not None else 0
    kernel = typed[str(node.inputs[1].name)][0][2:]
    group = node.attributes.get_int("group", 1)
    words = "depthwise " if group == channels and group > 1 else "grouped " if group > 1 else ""
    return f"{words}{node.op_type} {'x'.join(map(str, kernel))}"
