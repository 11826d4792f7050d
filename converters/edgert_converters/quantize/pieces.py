"""Cuts a graph into consecutive pieces that run one after the other.

An engine keeps every output of a run until the run ends. To look at all activations of a large model without having
them all in memory, it runs in pieces: alive at any time are the outputs of one piece and what later pieces read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import onnx
import onnx_ir as ir

from edgert_converters.control_flow import captured_values
from edgert_converters.exporters.onnx import serialize

__all__ = ["Piece", "cut_model"]

_PLAIN = frozenset(
    getattr(ir.DataType, name)
    for name in ("FLOAT", "FLOAT16", "DOUBLE", "BOOL", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64")
)
"""What an engine takes and gives as an array. No cut is made where another type would have to cross it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Nodes that run together.

    `model` is an ONNX file; `outputs` are values asked for or read later; `kept` those of them that a later piece
    reads; `released` are inputs of this piece that no later one reads.
    """

    model: bytes
    outputs: tuple[str, ...]
    kept: frozenset[str]
    released: tuple[str, ...]


def cut_model(model: ir.Model, wanted: frozenset[str], sizes: Mapping[str, int], limit_bytes: int) -> Iterator[Piece]:
    """Yields the pieces in the order of the graph.

    Args:
        model: nodes in topological order; not changed.
        wanted: names of values that the pieces must give.
        sizes: bytes of each value that a node makes; missing ones count nothing.
        limit_bytes: of the values that the nodes of one piece make, but for a piece of one node.

    Raises:
        ValueError: no node makes a value that is wanted.
    """
    nodes = list(model.graph)
    unknown = wanted.difference(value.name for node in nodes for value in node.outputs)
    if unknown:
        raise ValueError(f"no node of the graph makes {', '.join(sorted(unknown))}")
    needed = _needed(nodes, wanted)
    flow = _Flow.of(model, [nodes[index] for index in needed])
    whole = onnx.ModelProto.FromString(serialize(model))
    initializers = {tensor.name: tensor for tensor in whole.graph.initializer}
    ports = {port.name: port for port in whole.graph.input}
    for start, stop in _spans(flow, sizes, limit_bytes):
        made = [name for names in flow.makes[start:stop] for name in names]
        read = dict.fromkeys(name for names in flow.reads[start:stop] for name in names)
        outputs = tuple(name for name in made if name in wanted or flow.last_read.get(name, -1) >= stop)
        inputs = [name for name in read if name in flow.types and name not in set(made)]
        proto = onnx.ModelProto()
        proto.CopyFrom(_without_graph(whole))
        proto.graph.name = f"{whole.graph.name}_{start}"
        proto.graph.node.extend(whole.graph.node[index] for index in needed[start:stop])
        proto.graph.initializer.extend(initializers[name] for name in read if name in initializers)
        proto.graph.input.extend(ports.get(name, _port(name, flow)) for name in inputs)
        proto.graph.output.extend(_port(name, flow) for name in outputs)
        yield Piece(
            proto.SerializeToString(),
            outputs,
            frozenset(name for name in outputs if flow.last_read.get(name, -1) >= stop),
            tuple(name for name in inputs if flow.last_read[name] < stop),
        )


@dataclass(frozen=True, slots=True)
class _Flow:
    """Which node makes and reads what: names by node, the last node that reads each, element types by name."""

    makes: Sequence[tuple[str, ...]]
    reads: Sequence[tuple[str, ...]]
    last_read: Mapping[str, int]
    types: Mapping[str, ir.DataType | None]

    @classmethod
    def of(cls, model: ir.Model, nodes: Sequence[ir.Node]) -> _Flow:
        """Follows the values through some nodes of a graph."""
        makes = [tuple(value.name for value in node.outputs if value.name) for node in nodes]
        reads = [_reads(node) for node in nodes]
        last_read = {name: index for index, names in enumerate(reads) for name in names}
        ports = [value for value in model.graph.inputs if value.name not in model.graph.initializers]
        made = [value for node in nodes for value in node.outputs]
        types = {value.name: _plain_type(value) for value in (*ports, *made) if value.name}
        return cls(makes, reads, last_read, types)


def _reads(node: ir.Node) -> tuple[str, ...]:
    """What a node reads; what its bodies read from outside it reads itself."""
    values = (*node.inputs, *captured_values(node))
    return tuple(value.name for value in values if value is not None and value.name)


def _needed(nodes: Sequence[ir.Node], wanted: frozenset[str]) -> list[int]:
    """Positions of the nodes that lead to what is wanted."""
    asked, needed = set(wanted), []
    for index in reversed(range(len(nodes))):
        if asked.intersection(value.name for value in nodes[index].outputs):
            asked.update(_reads(nodes[index]))
            needed.append(index)
    return needed[::-1]


def _plain_type(value: ir.Value) -> ir.DataType | None:
    is_tensor = isinstance(value.type, ir.TensorType)
    return value.dtype if is_tensor and value.dtype in _PLAIN else None


def _spans(flow: _Flow, sizes: Mapping[str, int], limit_bytes: int) -> Iterator[tuple[int, int]]:
    start, held = 0, 0
    for index, names in enumerate(flow.makes):
        adds = sum(sizes.get(name, 0) for name in names)
        if index > start and held + adds > limit_bytes and _may_cut(flow, index):
            yield start, index
            start, held = index, 0
        held += adds
    if flow.makes:
        yield start, len(flow.makes)


def _may_cut(flow: _Flow, index: int) -> bool:
    """True when all that would cross a cut before node `index` is plain."""
    crossing = (name for names in flow.makes[:index] for name in names if flow.last_read.get(name, -1) >= index)
    return all(flow.types[name] is not None for name in crossing)


def _without_graph(whole: onnx.ModelProto) -> onnx.ModelProto:
    bare = onnx.ModelProto(ir_version=whole.ir_version)
    bare.opset_import.extend(whole.opset_import)
    bare.functions.extend(whole.functions)
    return bare


def _port(name: str, flow: _Flow) -> onnx.ValueInfoProto:
    """An input or output; its shape is left to the engine: a symbolic axis may have lost its name on the way."""
    kind = flow.types[name]
    if kind is None:
        return onnx.ValueInfoProto(name=name)
    return onnx.helper.make_tensor_value_info(name, kind.value, None)
