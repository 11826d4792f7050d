"""OneHot, NonZero, ScatterND and LpPool to and from TFLite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from edgert.dtypes import DType
from edgert_converters.ops.attributes import get_int, get_ints, get_str, normalise_axis
from edgert_converters.ops.conv_tflite import window_attributes
from edgert_converters.ops.spec import TfliteReader, TfliteWriter
from edgert_converters.tflite.formula import Formula
from edgert_converters.tflite.layout import channels_first, channels_last

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["INDEX_READERS", "INDEX_WRITERS"]

_ONNX_INT64 = 7  # in ONNX's TensorProto.DataType
_VALID = 1


def read_one_hot(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a OneHot; a negative index, which ONNX would count from the end, is moved out of range."""
    depth = graph.required(operator, 1)[0]
    on, off = (graph.constant(index) for index in operator.inputs[2:4])
    if on is None or off is None:
        raise graph.error(operator, "its values must be constants; the model computes them")
    index = graph.add("Cast", [graph.plain(operator.inputs[0])], {"to": _ONNX_INT64})
    limit = graph.initializer("depth", np.asarray(depth, np.int64))
    zero = graph.initializer("zero", np.asarray(0, np.int64))
    index = graph.add("Where", [graph.add("Less", [index, zero]), limit, index])
    values = graph.initializer("values", np.concatenate([off.reshape(1), on.reshape(1)]))
    axis = operator.options.get("axis", -1)
    graph.finish(operator, graph.add("OneHot", [index, limit, values], {"axis": axis}), activation="NONE")


def write_one_hot(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a ONE_HOT; an index below zero, which TFLite leaves out, is counted from the end first."""
    formula = Formula(node, graph)
    spec = formula.spec
    if any(index not in spec.constants for index in (1, 2)):
        raise graph.unsupported(node, "its depth or values are computed; a file needs constant ones")
    depth, (off, on) = int(spec.constants[1].reshape(-1)[0]), spec.constants[2].reshape(-1)
    index = formula.cast(graph.plain(node, 0), DType.INT32)
    wrapped = formula.apply("ADD", index, formula.number(depth, index))
    below = formula.apply("LESS", index, formula.number(0, index))
    index = formula.apply("SELECT_V2", below, wrapped, index)
    values = [formula.numbers(np.asarray(value)) for value in (on, off)]
    axis = normalise_axis(get_int(spec, "axis", -1), len(formula.shape(index)) + 1)
    shape = (*formula.shape(index)[:axis], depth, *formula.shape(index)[axis:])
    inputs = (index, formula.numbers(np.asarray(depth, np.int32)), *values)
    formula.finish(formula.apply("ONE_HOT", *inputs, shape=shape, dtype=formula.dtype(values[0]), axis=axis))


def read_where(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a NonZero, whose positions ONNX gives by axis."""
    rows = graph.add("NonZero", [graph.plain(operator.inputs[0])])
    graph.finish(operator, graph.add("Transpose", [rows], {"perm": [1, 0]}), activation="NONE")


def read_scatter_nd(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a ScatterND that adds the updates to zeros."""
    dtype = graph.tensor(operator.inputs[1]).dtype or DType.FLOAT
    zeros = graph.initializer("zeros", np.zeros(graph.required(operator, 2), dtype.numpy))
    index = graph.add("Cast", [graph.plain(operator.inputs[0])], {"to": _ONNX_INT64})
    y = graph.add("ScatterND", [zeros, index, graph.plain(operator.inputs[1])], {"reduction": "add"})
    graph.finish(operator, y, activation="NONE")


def write_scatter_nd(node: ir.Node, graph: ExportGraph) -> None:
    """Writes SCATTER_ND, which adds to zeros: the data plus it, or it wherever an index points."""
    formula = Formula(node, graph)
    reduction = get_str(formula.spec, "reduction", "none")
    if reduction not in {"none", "add"}:
        raise graph.unsupported(node, f"TFLite scatters by adding only, not by {reduction!r}")
    data, index, updates = (graph.plain(node, i) for i in range(3))
    shape = formula.shape(data)
    sizes = formula.numbers(shape[: formula.shape(index)[-1]])
    below = formula.apply("LESS", index, formula.number(0, index))
    wrapped = formula.apply("ADD", index, sizes)
    index = formula.apply("SELECT_V2", below, wrapped, index)
    target = formula.numbers(shape)
    kind = formula.dtype(data)
    scattered = formula.apply("SCATTER_ND", index, updates, target, shape=shape, dtype=kind)
    if reduction == "add":
        formula.finish(formula.apply("ADD", data, scattered))
        return
    ones = formula.numbers(np.ones(formula.shape(updates), np.float32))
    count = formula.apply("SCATTER_ND", index, ones, target, shape=shape, dtype=DType.FLOAT)
    hit = formula.apply("GREATER", count, formula.number(0, count))
    formula.finish(formula.apply("SELECT_V2", hit, scattered, data))


def read_l2_pool(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds the square root of the mean of squares over each window, padding left out."""
    x = graph.channels_first(operator.inputs[0])
    kernel = (int(operator.options["filter_height"]), int(operator.options["filter_width"]))  # type: ignore[arg-type]  # numbers by schema
    attributes = window_attributes(operator, graph.shape(operator.inputs[0])[1:3], kernel)
    pool = {
        "kernel_shape": kernel,
        "strides": attributes["strides"],
        "pads": attributes["pads"],
        "count_include_pad": 0,
    }
    mean = graph.add("AveragePool", [graph.add("Mul", [x, x])], pool)
    graph.finish(operator, graph.add("Sqrt", [mean]), channels_first(4))


def write_lp_pool(node: ir.Node, graph: ExportGraph) -> None:
    """Writes the p-th root of the sum of p-th powers as an AVERAGE_POOL_2D times the size of the window."""
    spec = graph.describe(node)
    if len(graph.shape(node.inputs[0])) != 4 or any(step != 1 for step in get_ints(spec, "dilations", (1, 1))):
        raise graph.unsupported(node, "it needs two spatial axes and no dilation")
    if get_str(spec, "auto_pad", "NOTSET") not in {"NOTSET", "VALID"} or get_int(spec, "ceil_mode", 0):
        raise graph.unsupported(node, "its padding is not explicit; clean-up makes it so")
    formula = Formula(node, graph)
    kernel, power = get_ints(spec, "kernel_shape", ()), float(get_int(spec, "p", 2))
    strides, pads = get_ints(spec, "strides", (1, 1)), get_ints(spec, "pads", (0, 0, 0, 0))
    x = graph.channels_last(node)
    size = formula.apply("ABS", x)
    powers = formula.apply("POW", size, formula.number(power, x)) if power != 1 else size
    if any(pads):
        powers = graph.padded(powers, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3]), (0, 0)))
    n, height, width, channels = formula.shape(powers)
    windows = ((height - kernel[0]) // strides[0] + 1, (width - kernel[1]) // strides[1] + 1)
    mean = formula.apply(
        "AVERAGE_POOL_2D",
        powers,
        shape=(n, *windows, channels),
        padding=_VALID,
        filter_height=kernel[0],
        filter_width=kernel[1],
        stride_h=strides[0],
        stride_w=strides[1],
    )
    total = formula.apply("MUL", mean, formula.number(kernel[0] * kernel[1], mean))
    y = formula.apply("POW", total, formula.number(1 / power, total)) if power != 1 else total
    formula.finish(y, channels_last(4))


def write_global_lp_pool(node: ir.Node, graph: ExportGraph) -> None:
    """Writes the p-th root of the sum of p-th powers over the spatial axes."""
    formula = Formula(node, graph)
    power = float(get_int(formula.spec, "p", 2))
    x = graph.read(node, 0)
    size = formula.apply("ABS", x.index)
    powers = formula.apply("POW", size, formula.number(power, size)) if power != 1 else size
    total = formula.reduced("SUM", powers, sorted(x.order.index(axis) for axis in range(2, len(x.order))))
    y = formula.apply("POW", total, formula.number(1 / power, total)) if power != 1 else total
    formula.finish(y, x.order)


INDEX_READERS: Final[Mapping[str, Mapping[str, TfliteReader]]] = {
    "LpPool": {"L2_POOL_2D": read_l2_pool},
    "NonZero": {"WHERE": read_where},
    "OneHot": {"ONE_HOT": read_one_hot},
    "ScatterND": {"SCATTER_ND": read_scatter_nd},
}
"""By ONNX operator."""

INDEX_WRITERS: Final[Mapping[str, TfliteWriter]] = {
    "GlobalLpPool": write_global_lp_pool,
    "LpPool": write_lp_pool,
    "OneHot": write_one_hot,
    "ScatterND": write_scatter_nd,
}
"""By ONNX operator."""
