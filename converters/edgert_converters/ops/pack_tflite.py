"""TFLite's PACK and UNPACK: a new axis of operands one behind the other, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgert_converters.tflite.layout import Order, identity, without_axes

if TYPE_CHECKING:
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_pack", "read_unpack"]


def read_pack(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds an Unsqueeze per operand and a Concat; the new axis stands where the operands' order lets it."""
    rank = len(graph.shape(operator.inputs[0]))
    axis = graph.option(operator, "axis") % (rank + 1)
    operands, order = graph.aligned(operator.inputs) if rank else ([graph.plain(i) for i in operator.inputs], ())
    lifted = [
        graph.kept(graph.add("Unsqueeze", [value, graph.ints([axis])]), index)
        for value, index in zip(operands, operator.inputs, strict=True)
    ]
    result = _inserted(order, axis)
    graph.finish(operator, graph.add("Concat", lifted, {"axis": axis}), result)


def _inserted(order: Order, axis: int) -> Order:
    """Returns the order after the tensor and the value both got a new axis `axis`."""
    shifted = [old + (old >= axis) for old in order]
    return (*shifted[:axis], axis, *shifted[axis:])


def read_unpack(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Split into parts of size 1 and a Squeeze of each."""
    placed, count = graph.read(operator.inputs[0]), len(operator.outputs)
    axis = graph.option(operator, "axis") % len(placed.order)
    position = placed.order.index(axis)
    parts = [placed.value]
    if count > 1:
        first = graph.add("Split", [placed.value], {"axis": position, "num_outputs": count}, count)
        node = first.producer()
        parts = [first] if node is None else list(node.outputs)
    order = without_axes(placed.order, [axis])
    for number, part in enumerate(parts):
        whole = graph.kept(part, operator.inputs[0])
        squeezed = graph.add("Squeeze", [whole, graph.ints([position])])
        graph.finish(operator, squeezed, order or identity(0), output=number)
