"""Writing operators that only move data: they keep the parameters of what they read, and many move nothing at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgert_converters.tflite.layout import Order, after_reshape, identity, permuted

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph, Stored
    from edgert_converters.tflite.model import OptionValue

__all__ = ["keep", "move", "read_moved", "rename", "reshape"]


def read_moved(node: ir.Node, graph: ExportGraph) -> Stored:
    """Returns the tensor that a moving node reads, as it lies; call it first.

    With a clamp behind it the node computes in float: TFLite has no moving operator with an activation.
    """
    unit = graph.unit(node)
    if unit is not None and any(unit.clamps):
        graph.compute_in_float(node)
    return graph.read(node, 0)


def keep(node: ir.Node, graph: ExportGraph) -> None:
    """Makes a node's first output its input.

    Raises:
        ModelError: another output is read.
    """
    if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
        raise graph.unsupported(node, "its other outputs have no counterpart")
    stored = read_moved(node, graph)
    rename(node, graph, stored.index, stored.order)


def rename(node: ir.Node, graph: ExportGraph, index: int, order: Order, output: int = 0) -> None:
    """Makes an existing tensor a node's output; nothing moves, other parameters take a QUANTIZE."""
    value = graph.result(node, output)
    params = graph.output_params(node, output)
    if params is not None and graph.made(index).quant != params:
        graph.emit("QUANTIZE", [index], [graph.tensor(value, order)])
    else:
        graph.place(value, index, order)


def move(
    node: ir.Node,
    graph: ExportGraph,
    operator: str,
    inputs: Sequence[int],
    order: Order,
    *,
    data: int = 0,
    **options: OptionValue,
) -> None:
    """Emits an operator whose outputs are all outputs of the node, stored in `order`.

    Args:
        node: whose outputs they are.
        graph: under construction.
        operator: of TFLite.
        inputs: its tensors.
        order: of every output.
        data: number of the input whose numbers are moved.
        options: of the operator.
    """
    source = graph.made(inputs[data])
    targets, behind = [], []
    for output, result in enumerate(node.outputs):
        if not result.name:
            continue
        value, params = graph.result(node, output), graph.output_params(node, output)
        if params is None or params == source.quant or source.dtype is None:
            targets.append(graph.tensor(value, order))
            continue
        shape = permuted(graph.shape(result), order)
        targets.append(graph.scratch(f"{result.name}_part", shape, source.dtype, source.quant))
        behind.append((targets[-1], value))
    graph.emit(operator, inputs, targets, 1, **options)
    for part, value in behind:
        graph.emit("QUANTIZE", [part], [graph.tensor(value, order)])


def reshape(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a node whose output holds its input's numbers in the same sequence in another shape."""
    stored = read_moved(node, graph)
    shape, target = graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
    needed, order = after_reshape(shape, stored.order, target)
    if graph.dynamic_batch and shape[:1] != target[:1]:  # the batch is among the axes that change
        needed, order = identity(len(shape)), identity(len(target))
    index = stored.index if needed == stored.order else graph.ordered(node, 0, needed)
    stored_shape = permuted(target, order)
    if graph.made(index).shape == stored_shape:
        rename(node, graph, index, order)
        return
    sizes = graph.batched_shape(stored_shape)
    move(
        node,
        graph,
        "RESHAPE",
        [index, graph.constant_tensor("shape", np.asarray(sizes, np.int32))],
        order,
        new_shape=sizes,
    )
