"""Gather and GatherND to and from TFLite's GATHER and GATHER_ND."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.attributes import get_int, normalise_axis
from edgert_converters.tflite.layout import Order, identity, with_axis, without_axes
from edgert_converters.tflite.moves import move, read_moved

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.ops.spec import Array
    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_gather", "read_gather_nd", "write_gather", "write_gather_nd"]


def read_gather(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Gather along the axis where it lies; with batch axes a GatherND.

    Raises:
        ModelError: axes stand between the batch axes and the gathered one.
    """
    data, indices = operator.inputs
    rank, places = len(graph.shape(data)), len(graph.shape(indices))
    axis = graph.option(operator, "axis") % rank
    batch = graph.option(operator, "batch_dims") % max(places + 1, 1)
    if batch:
        if axis != batch:
            raise graph.error(operator, f"gathers axis {axis} with {batch} batch axes; edgert reads axis = batch axes")
        tuples = graph.add("Unsqueeze", [_wide(graph, indices), graph.ints([places])])
        graph.finish(operator, graph.add("GatherND", [graph.plain(data), tuples], {"batch_dims": batch}))
        return
    placed = graph.read(data)
    value = graph.add("Gather", [placed.value, graph.plain(indices)], {"axis": placed.order.index(axis)})
    graph.finish(operator, value, _gathered(placed.order, axis, places))


def _gathered(order: Order, axis: int, places: int) -> Order:
    return with_axis(order, axis, places) if places else without_axes(order, [axis])


def read_gather_nd(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a GatherND."""
    data, indices = operator.inputs
    graph.finish(operator, graph.add("GatherND", [graph.plain(data), _wide(graph, indices)]))


def _wide(graph: ImportGraph, index: int) -> ir.Value:
    return graph.add("Cast", [graph.plain(index)], {"to": 7})


def write_gather(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a GATHER in the order of its input; constant indices that count from the end count from the front."""
    spec = graph.describe(node)
    stored = read_moved(node, graph)
    shape, places = graph.shape(node.inputs[0]), len(graph.shape(node.inputs[1]))
    axis = normalise_axis(get_int(spec, "axis", 0), len(shape))
    position = stored.order.index(axis)
    indices = graph.constant(node.inputs[1])
    if indices is not None:
        counted = _from_front(indices, shape[axis])
        tensor = graph.constant_tensor(str(getattr(node.inputs[1], "name", "indices")), counted)
    else:
        tensor = graph.plain(node, 1)
    order = _gathered(stored.order, axis, places)
    move(node, graph, "GATHER", [stored.index, tensor], order, axis=position, batch_dims=0)


def write_gather_nd(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a GATHER_ND.

    Raises:
        ModelError: it has batch axes.
    """
    if get_int(graph.describe(node), "batch_dims", 0):
        raise graph.unsupported(node, "GATHER_ND has no batch axes")
    read_moved(node, graph)
    shape = graph.shape(node.inputs[0])
    indices = graph.constant(node.inputs[1])
    if indices is not None:
        sizes = np.asarray(shape[: indices.shape[-1]], np.int64)
        tensor = graph.constant_tensor("indices", _from_front(indices, sizes))
    else:
        tensor = graph.plain(node, 1)
    move(node, graph, "GATHER_ND", [graph.plain(node, 0), tensor], identity(len(graph.shape(node.outputs[0]))))


def _from_front(indices: Array, sizes: NDArray[np.int64] | int) -> NDArray[np.int64]:
    counted = indices.astype(np.int64)
    return np.where(counted < 0, counted + sizes, counted).astype(np.int64)
