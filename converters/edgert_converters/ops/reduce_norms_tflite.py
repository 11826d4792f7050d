"""Norms, products and logarithms of sums as TFLite reductions, and its REDUCE_ANY and REDUCE_ALL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from edgert.dtypes import DType
from edgert_converters.ops.attributes import get_int, normalise_axis, read_axes
from edgert_converters.ops.reduce_tflite import reduce_reader
from edgert_converters.ops.spec import TfliteReader, TfliteWriter
from edgert_converters.tflite.formula import Formula
from edgert_converters.tflite.layout import Order, without_axes

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["LOGICAL_READERS", "NORM_READERS", "NORM_WRITERS"]

Step = Callable[[Formula, int], int]
_ONNX_INT32, _ONNX_BOOL = 6, 9  # in ONNX's TensorProto.DataType


def read_logical_reduction(op_type: str) -> TfliteReader:
    """Returns the hook that reads REDUCE_ANY or REDUCE_ALL as the largest or smallest of 0 and 1."""

    def read(operator: TfOperator, graph: ImportGraph) -> None:
        x = graph.read(operator.inputs[0])
        axes = sorted({normalise_axis(axis, len(x.order)) for axis in graph.required(operator, 1)})
        keep = bool(operator.options.get("keep_dims"))
        number = graph.add("Cast", [x.value], {"to": _ONNX_INT32})
        places = graph.ints(sorted(x.order.index(axis) for axis in axes))
        y = graph.add(op_type, [number, places], {"keepdims": int(keep), "noop_with_empty_axes": 1})
        order = x.order if keep else without_axes(x.order, axes)
        graph.finish(operator, graph.add("Cast", [y], {"to": _ONNX_BOOL}), order, activation="NONE")

    return read


def reduction_writer(name: str, before: Step | None = None, after: Step | None = None) -> TfliteWriter:
    """Returns the hook that writes after(reduction(before(x))) with the TFLite reduction `name`, on floats."""

    def write(node: ir.Node, graph: ExportGraph) -> None:
        formula = Formula(node, graph)
        x = graph.read(node, 0)
        source = before(formula, x.index) if before else x.index
        axes, keep, order = _axes(node, graph, x.order)
        total = _dropped(formula, formula.reduced(name, source, axes), axes, keep=keep) if axes else source
        formula.finish(after(formula, total) if after else total, order)

    return write


def write_log_sum_exp(node: ir.Node, graph: ExportGraph) -> None:
    """Writes max + log(sum(exp(x - max))), which does not overflow."""
    formula = Formula(node, graph)
    x = graph.read(node, 0)
    axes, keep, order = _axes(node, graph, x.order)
    if not axes:
        formula.finish(x.index, x.order)
        return
    most = formula.reduced("REDUCE_MAX", x.index, axes)
    powers = formula.apply("EXP", formula.apply("SUB", x.index, most))
    tail = formula.apply("LOG", formula.reduced("SUM", powers, axes))
    formula.finish(_dropped(formula, formula.apply("ADD", most, tail), axes, keep=keep), order)


def _axes(node: ir.Node, graph: ExportGraph, order: Order) -> tuple[list[int], bool, Order]:
    """Returns the axes of a tensor in `order` that a Reduce node goes over, if they stay, and the result's order."""
    spec = graph.describe(node)
    rank = len(order)
    if len(node.inputs) > 1 and node.inputs[1] is not None and 1 not in spec.constants:
        raise graph.unsupported(node, "its axes are computed; a file needs constant ones")
    axes = read_axes(spec, [None, spec.constants.get(1)], rank)
    if axes is None:
        axes = () if get_int(spec, "noop_with_empty_axes", 0) else tuple(range(rank))
    keep = get_int(spec, "keepdims", 1) == 1
    return sorted(order.index(a) for a in axes), keep, order if keep else without_axes(order, axes)


def _dropped(formula: Formula, index: int, axes: Sequence[int], *, keep: bool) -> int:
    if keep:
        return index
    return formula.reshaped(index, [size for axis, size in enumerate(formula.shape(index)) if axis not in axes])


def absolute(f: Formula, x: int) -> int:
    """Returns the magnitude."""
    return f.apply("ABS", x) if f.dtype(x) is DType.FLOAT else f.apply("MAXIMUM", x, f.apply("NEG", x))


def square(f: Formula, x: int) -> int:
    """Returns x * x."""
    return f.apply("MUL", x, x)


def root(f: Formula, x: int) -> int:
    """Returns the square root."""
    return f.apply("SQRT", x)


def logarithm(f: Formula, x: int) -> int:
    """Returns the natural logarithm."""
    return f.apply("LOG", x)


LOGICAL_READERS: Final[Mapping[str, Mapping[str, TfliteReader]]] = {
    "ReduceMax": {"REDUCE_ANY": read_logical_reduction("ReduceMax")},
    "ReduceMin": {"REDUCE_ALL": read_logical_reduction("ReduceMin")},
}
"""By ONNX operator."""

NORM_READERS: Final[Mapping[str, Mapping[str, TfliteReader]]] = {
    "ReduceProd": {"REDUCE_PROD": reduce_reader("ReduceProd")},
}
"""By ONNX operator."""

NORM_WRITERS: Final[Mapping[str, TfliteWriter]] = {
    "ReduceL1": reduction_writer("SUM", absolute),
    "ReduceL2": reduction_writer("SUM", square, root),
    "ReduceLogSum": reduction_writer("SUM", None, logarithm),
    "ReduceLogSumExp": write_log_sum_exp,
    "ReduceProd": reduction_writer("REDUCE_PROD"),
    "ReduceSumSquare": reduction_writer("SUM", square),
}
"""By ONNX operator."""
