"""ReduceMean, ReduceSum, ReduceMax, ReduceMin and the global pools to and from TFLite's reductions.

The tensor stays in the order it lies in; the axes are renumbered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgert_converters.ops.attributes import get_int, read_axes
from edgert_converters.ops.spec import TfliteReader, TfliteWriter
from edgert_converters.tflite.layout import identity, without_axes

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["global_pool_writer", "reduce_reader", "reduce_writer"]

_KEEPS_PARAMETERS = {"REDUCE_MAX", "REDUCE_MIN"}


def reduce_reader(op_type: str) -> TfliteReader:
    """Returns the hook that reads a TFLite reduction as the ONNX operator `op_type`."""

    def read(operator: TfOperator, graph: ImportGraph) -> None:
        x = operator.inputs[0]
        rank = len(graph.shape(x))
        axes = sorted({axis % rank for axis in graph.required(operator, 1)}) if rank else []
        keeps = bool(operator.options.get("keep_dims", False))
        placed = graph.read(x)
        if not axes:  # nothing is reduced
            graph.finish(operator, graph.add("Identity", [placed.value]), placed.order, activation="NONE")
            return
        value, order = placed.value, placed.order
        renumbered = sorted(order.index(axis) for axis in axes)
        y = graph.add(op_type, [value, graph.ints(renumbered)], {"keepdims": int(keeps)})
        graph.finish(operator, y, order if keeps else without_axes(order, axes), activation="NONE")

    return read


def reduce_writer(name: str) -> TfliteWriter:
    """Returns the hook that writes the TFLite reduction `name`."""

    def write(node: ir.Node, graph: ExportGraph) -> None:
        spec = graph.describe(node)
        rank = len(graph.shape(node.inputs[0]))
        axes = read_axes(spec, [spec.constants.get(i) for i in range(2)], rank)
        if axes is None and len(node.inputs) > 1 and node.inputs[1] is not None and 1 not in spec.constants:
            raise graph.unsupported(node, "its axes are computed")
        if axes is None:
            axes = () if get_int(spec, "noop_with_empty_axes", 0) else tuple(range(rank))
        keeps = get_int(spec, "keepdims", 1) == 1
        _write(node, graph, name, axes, keeps=keeps)

    return write


def global_pool_writer(name: str) -> TfliteWriter:
    """Returns the hook that writes a global pool as the TFLite reduction `name` over the spatial axes."""

    def write(node: ir.Node, graph: ExportGraph) -> None:
        _write(node, graph, name, tuple(range(2, len(graph.shape(node.inputs[0])))), keeps=True)

    return write


def _write(node: ir.Node, graph: ExportGraph, name: str, axes: tuple[int, ...], *, keeps: bool) -> None:
    x_params, y_params = graph.input_params(node, 0), graph.output_params(node)
    if name in _KEEPS_PARAMETERS and x_params != y_params:
        graph.compute_in_float(node)
    unit = graph.unit(node)
    if unit is not None and unit.clamps[0]:
        graph.compute_in_float(node)
    rank = len(graph.shape(node.inputs[0]))
    stored = graph.read(node, 0)
    order, x = stored.order, stored.index
    if graph.constant(node.inputs[0]) is not None:
        order, x = identity(rank), graph.plain(node, 0)
    value = graph.result(node)
    y = graph.tensor(value, order if keeps else without_axes(order, axes))
    if not axes:
        graph.reshape(x, y)
        return
    renumbered = sorted(order.index(axis) for axis in axes)
    graph.emit(name, [x, graph.constant_tensor("axes", np.asarray(renumbered, np.int32))], [y], keep_dims=keeps)
