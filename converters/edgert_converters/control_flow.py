"""If, Loop and Scan: nodes that hold graphs, and the values that those graphs read from outside.

Such nodes are not in the operator table: they have no arithmetic of their own. Passes and the quantizer leave what is
inside alone; the interpreter runs it (subgraphs.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["CONTROL_FLOW", "bodies", "captured_values", "is_control_flow"]

CONTROL_FLOW: Final = frozenset({"If", "Loop", "Scan"})


def is_control_flow(node: ir.Node) -> bool:
    """True for If, Loop and Scan of the standard domain."""
    return node.op_type in CONTROL_FLOW and node.domain in {"", "ai.onnx"}


def bodies(node: ir.Node) -> Iterator[ir.Graph]:
    """Yields the graphs that a node holds in its attributes."""
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type.name == "GRAPH":
            yield attribute.as_graph()
        elif attribute.type.name == "GRAPHS":
            yield from attribute.as_graphs()


def captured_values(node: ir.Node) -> tuple[ir.Value, ...]:
    """Returns the values of the graphs around it that a node's bodies read, in order and once each."""
    found: dict[ir.Value, None] = {}
    for body in bodies(node):
        inside = {*body.inputs, *body.initializers.values(), *(v for inner in body for v in inner.outputs)}
        read = [value for inner in body for value in (*inner.inputs, *captured_values(inner))]
        found.update(dict.fromkeys(v for v in (*read, *body.outputs) if v is not None and v not in inside))
    return tuple(found)
