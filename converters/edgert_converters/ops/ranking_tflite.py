"""ArgMax, ArgMin, TopK and CumSum to and from TFLite: operators along one axis, of which three give indices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from edgert.dtypes import DType
from edgert_converters.ops.attributes import get_int, input_or_attribute, normalise_axis
from edgert_converters.ops.spec import TfliteReader, TfliteWriter
from edgert_converters.tflite.formula import Formula
from edgert_converters.tflite.layout import identity, without_axes

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["RANKING_READERS", "RANKING_WRITERS"]

_ONNX_INT32 = 6  # in ONNX's TensorProto.DataType
_TFLITE_INT32 = 2  # in the schema's TensorType


def read_arg(op_type: str) -> TfliteReader:
    """Returns the hook that reads ARG_MAX or ARG_MIN; the index gets the type that the file says."""

    def read(operator: TfOperator, graph: ImportGraph) -> None:
        x = graph.read(operator.inputs[0])
        axis = normalise_axis(graph.required(operator, 1)[0], len(x.order))
        y = graph.add(op_type, [x.value], {"axis": x.order.index(axis), "keepdims": 0})
        graph.finish(operator, _as_index(operator, graph, y, 0), without_axes(x.order, (axis,)), activation="NONE")

    return read


def read_top_k(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a TopK along the last axis."""
    x = graph.read(operator.inputs[0])
    count = graph.ints(graph.required(operator, 1)[:1])
    values = graph.add("TopK", [x.value, count], {"axis": x.order.index(len(x.order) - 1)}, outputs=2)
    node = values.producer()
    if node is None:
        raise AssertionError("a node that was just made has lost its output")
    graph.finish(operator, values, x.order, activation="NONE")
    index = _as_index(operator, graph, node.outputs[1], 1)
    graph.finish(operator, index, x.order, output=1, activation="NONE")


def read_cum_sum(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a CumSum."""
    x = graph.read(operator.inputs[0])
    axis = x.order.index(normalise_axis(graph.required(operator, 1)[0], len(x.order)))
    flags = {name: int(bool(operator.options.get(name))) for name in ("exclusive", "reverse")}
    where = graph.initializer("axis", np.asarray(axis, np.int64))
    graph.finish(operator, graph.add("CumSum", [x.value, where], flags), x.order, activation="NONE")


def _as_index(operator: TfOperator, graph: ImportGraph, value: ir.Value, output: int) -> ir.Value:
    if graph.tensor(operator.outputs[output]).dtype is DType.INT64:
        return value
    return graph.add("Cast", [value], {"to": _ONNX_INT32})


def write_arg(name: str) -> TfliteWriter:
    """Returns the hook that writes ARG_MAX or ARG_MIN; the last of equal values is found in the reversed tensor."""

    def write(node: ir.Node, graph: ExportGraph) -> None:
        formula = Formula(node, graph)
        x = graph.read(node, 0)
        axis = normalise_axis(get_int(formula.spec, "axis", 0), len(x.order))
        place = x.order.index(axis)
        last = get_int(formula.spec, "select_last_index", 0) == 1
        source, shape = x.index, list(formula.shape(x.index))
        size = shape.pop(place)
        if last:
            flipped, kind = formula.numbers((place,)), formula.dtype(source)
            source = formula.apply("REVERSE_V2", source, flipped, shape=formula.shape(source), dtype=kind)
        where = formula.numbers(np.asarray(place, np.int32))
        index = formula.apply(name, source, where, shape=shape, dtype=DType.INT32, output_type=_TFLITE_INT32)
        if last:
            index = formula.apply("SUB", formula.number(size - 1, index), index)
        if get_int(formula.spec, "keepdims", 1):
            index = formula.reshaped(index, (*shape[:place], 1, *shape[place:]))
            formula.finish(index, x.order)
        else:
            formula.finish(index, without_axes(x.order, (axis,)))

    return write


def write_top_k(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a TOPK_V2 along the last axis; the smallest values are the largest of -x."""
    formula = Formula(node, graph)
    spec = formula.spec
    count = input_or_attribute(spec, [None, spec.constants.get(1)], 1, "k")
    if count is None:
        raise graph.unsupported(node, "its k is computed; a file needs a constant one")
    rank = len(graph.shape(node.inputs[0]))
    axis = normalise_axis(get_int(spec, "axis", -1), rank)
    order = (*(a for a in identity(rank) if a != axis), axis)
    x = graph.ordered(node, 0, order)
    largest = get_int(spec, "largest", 1) == 1
    source = x if largest else formula.apply("NEG", x)
    shape = (*formula.shape(x)[:-1], int(count.reshape(-1)[0]))
    values = graph.scratch(f"{node.outputs[0].name}_values", shape, formula.dtype(x))
    index = graph.scratch(f"{node.outputs[1].name}_index", shape, DType.INT32)
    graph.emit("TOPK_V2", [source, formula.numbers(np.asarray(shape[-1], np.int32))], [values, index])
    formula.finish(values if largest else formula.apply("NEG", values), order)
    formula.finish(index, order, 1)


def write_cum_sum(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a CUMSUM."""
    formula = Formula(node, graph)
    spec = formula.spec
    if 1 not in spec.constants:
        raise graph.unsupported(node, "its axis is computed; a file needs a constant one")
    x = graph.read(node, 0)
    axis = normalise_axis(int(spec.constants[1].reshape(-1)[0]), len(x.order))
    flags = {name: get_int(spec, name, 0) == 1 for name in ("exclusive", "reverse")}
    place = formula.numbers(np.asarray(x.order.index(axis), np.int32))
    total = formula.apply("CUMSUM", x.index, place, shape=formula.shape(x.index), dtype=formula.dtype(x.index), **flags)
    formula.finish(total, x.order)


RANKING_READERS: Final[Mapping[str, Mapping[str, TfliteReader]]] = {
    "ArgMax": {"ARG_MAX": read_arg("ArgMax")},
    "ArgMin": {"ARG_MIN": read_arg("ArgMin")},
    "CumSum": {"CUMSUM": read_cum_sum},
    "TopK": {"TOPK_V2": read_top_k},
}
"""By ONNX operator."""

RANKING_WRITERS: Final[Mapping[str, TfliteWriter]] = {
    "ArgMax": write_arg("ARG_MAX"),
    "ArgMin": write_arg("ARG_MIN"),
    "CumSum": write_cum_sum,
    "TopK": write_top_k,
}
"""By ONNX operator."""
