"""Split to and from TFLite's SPLIT (equal parts) and SPLIT_V (sizes)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgert_converters.ops.attributes import get_int, normalise_axis
from edgert_converters.tflite.moves import move, read_moved

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_split", "read_split_v", "write_split"]


def read_split(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Split into equal parts."""
    x, (axis,) = operator.inputs[1], graph.required(operator, 0)
    size = graph.shape(x)[axis % len(graph.shape(x))]
    _read(operator, graph, x, axis, [size // len(operator.outputs)] * len(operator.outputs))


def read_split_v(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Split into parts of given sizes; one of -1 takes the rest."""
    x, sizes, (axis,) = operator.inputs[0], graph.required(operator, 1), graph.required(operator, 2)
    rest = graph.shape(x)[axis % len(graph.shape(x))] - sum(size for size in sizes if size != -1)
    _read(operator, graph, x, axis, [rest if size == -1 else size for size in sizes])


def _read(operator: TfOperator, graph: ImportGraph, x: int, axis: int, sizes: Sequence[int]) -> None:
    placed = graph.read(x)
    position = placed.order.index(axis % len(placed.order))
    first = graph.add("Split", [placed.value, graph.ints(sizes)], {"axis": position}, len(sizes))
    node = first.producer()
    for output, value in enumerate([first] if node is None else node.outputs):
        graph.finish(operator, value, placed.order, output=output)


def write_split(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a SPLIT or SPLIT_V in the order of its input."""
    stored = read_moved(node, graph)
    axis = normalise_axis(get_int(graph.describe(node), "axis", 0), len(stored.order))
    place = graph.constant_tensor("axis", np.asarray(stored.order.index(axis), np.int32))
    sizes = [graph.shape(value)[axis] for value in node.outputs]
    if len(set(sizes)) == 1:
        move(node, graph, "SPLIT", [place, stored.index], stored.order, data=1, num_splits=len(sizes))
        return
    inputs = [stored.index, graph.constant_tensor("sizes", np.asarray(sizes, np.int32)), place]
    move(node, graph, "SPLIT_V", inputs, stored.order, num_splits=len(sizes))
