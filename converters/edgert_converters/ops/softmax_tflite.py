"""Softmax and LogSoftmax to and from TFLite, which computes them over the last axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgert.dtypes import DType
from edgert_converters.ops.attributes import get_int, normalise_axis
from edgert_converters.ops.spec import TfliteWriter
from edgert_converters.tflite.layout import Order

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_log_softmax", "read_softmax", "softmax_writer"]

_OPSET_OF_ONE_AXIS = 13
# input type, output type: output scale and zero point that the integer kernels know
_FIXED = {
    ("SOFTMAX", DType.INT8): (1 / 256, -128),
    ("SOFTMAX", DType.UINT8): (1 / 256, 0),
    ("SOFTMAX", DType.INT16): (1 / 32768, 0),
    ("LOG_SOFTMAX", DType.INT8): (16 / 256, 127),
}


def read_softmax(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Softmax, behind a product where `beta` is not 1."""
    x = graph.read(operator.inputs[0])
    beta = float(operator.options.get("beta", 1.0))  # type: ignore[arg-type]  # a float by schema
    value = x.value
    if beta not in {0.0, 1.0}:  # some writers leave it out, which reads as 0 and is taken as 1
        value = graph.add("Mul", [value, graph.initializer("beta", np.asarray(beta, np.float32))])
    y = graph.add("Softmax", [value], {"axis": x.order.index(len(x.order) - 1)})
    graph.finish(operator, y, x.order, activation="NONE")


def read_log_softmax(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a LogSoftmax."""
    x = graph.read(operator.inputs[0])
    y = graph.add("LogSoftmax", [x.value], {"axis": x.order.index(len(x.order) - 1)})
    graph.finish(operator, y, x.order, activation="NONE")


def softmax_writer(name: str) -> TfliteWriter:
    """Returns the hook that writes SOFTMAX or LOG_SOFTMAX over an axis that is brought to the end."""

    def write(node: ir.Node, graph: ExportGraph) -> None:
        _check_integers(node, graph, name)
        spec = graph.describe(node)
        shape = graph.shape(node.inputs[0])
        modern = spec.opset >= _OPSET_OF_ONE_AXIS
        axis = normalise_axis(get_int(spec, "axis", -1 if modern else 1), len(shape))
        options: dict[str, Any] = {"beta": 1.0} if name == "SOFTMAX" else {}  # Any: emit takes `version` beside options
        if not modern and axis != len(shape) - 1:
            x = graph.reshaped(graph.plain(node, 0), (*shape[:axis], int(np.prod(shape[axis:]))))
            y = graph.tensor(graph.result(node))
            made = graph.made(y)
            flat = graph.scratch(f"{made.name}_flat", graph.made(x).shape, made.dtype or DType.FLOAT, made.quant)
            graph.emit(name, [x], [flat], **options)
            graph.reshape(flat, y)
            return
        order = _ending_with(axis, graph.read(node, 0).order)
        x = graph.ordered(node, 0, order)
        graph.emit(name, [x], [graph.tensor(graph.result(node), order)], **options)

    return write


def _ending_with(axis: int, order: Order) -> Order:
    """Returns `order` with `axis` moved to the end."""
    return (*(other for other in order if other != axis), axis)


def _check_integers(node: ir.Node, graph: ExportGraph, name: str) -> None:
    unit, x, y = graph.unit(node), graph.input_params(node, 0), graph.output_params(node)
    if unit is None or x is None or y is None:
        return
    fits = x.dtype is y.dtype and _FIXED.get((name, y.dtype)) == (y.scale[0], y.zero_point[0])
    if not fits or unit.clamps[0]:
        graph.compute_in_float(node)
