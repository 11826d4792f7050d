"""Hooks of operators that TFLite has under another name and with the same meaning, one element at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from edgert.dtypes import DType
from edgert_converters.ops.spec import Operator, TfliteReader, TfliteWriter
from edgert_converters.tflite.formula import Formula

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = [
    "element_wise_reader",
    "element_wise_writer",
    "formula_writer",
    "has_int8_kernel",
    "operands_of",
    "unary_reader",
    "unary_writer",
    "with_hooks",
]

_BROADCAST_RANK = 4  # the most axes over which every TFLite kernel with two inputs broadcasts by itself


def with_hooks(
    specs: Iterable[Operator],
    readers: Mapping[str, Mapping[str, TfliteReader]],
    writers: Mapping[str, TfliteWriter],
) -> tuple[Operator, ...]:
    """Returns rows of the operator table with their TFLite hooks, which go by the ONNX operator."""
    return tuple(
        replace(
            spec,
            from_tflite={**spec.from_tflite, **readers.get(spec.op_type, {})},
            to_tflite=writers.get(spec.op_type, spec.to_tflite),
        )
        for spec in specs
    )


def unary_reader(op_type: str) -> TfliteReader:
    """Returns the hook that reads a TFLite operator of one input as the ONNX operator `op_type`."""

    def read(operator: TfOperator, graph: ImportGraph) -> None:
        x = graph.read(operator.inputs[0])
        graph.finish(operator, graph.add(op_type, [x.value]), x.order, activation="NONE")

    return read


def unary_writer(name: str, *, integers: bool = False) -> TfliteWriter:
    """Returns the hook that writes the TFLite operator `name`; `integers`: TFLite computes it on int8 as well."""

    def write(node: ir.Node, graph: ExportGraph) -> None:
        if not (integers and has_int8_kernel(node, graph)):
            graph.compute_in_float(node)
        x = graph.read(node, 0)
        graph.emit(name, [x.index], [graph.tensor(graph.result(node), x.order)])

    return write


def formula_writer(function: Callable[[Formula, int], int]) -> TfliteWriter:
    """Returns the hook that writes a function of one input by the operators that `function` adds."""

    def write(node: ir.Node, graph: ExportGraph) -> None:
        formula = Formula(node, graph)
        x = graph.read(node, 0)
        formula.finish(function(formula, x.index), x.order)

    return write


def element_wise_reader(op_type: str) -> TfliteReader:
    """Returns the hook that reads a TFLite operator that broadcasts its inputs as the ONNX operator `op_type`."""

    def read(operator: TfOperator, graph: ImportGraph) -> None:
        operands, order = graph.aligned(operator.inputs)
        graph.finish(operator, graph.add(op_type, operands), order, activation="NONE")

    return read


def element_wise_writer(name: str) -> TfliteWriter:
    """Returns the hook that writes the TFLite operator `name`, which broadcasts its inputs, on floats."""

    def write(node: ir.Node, graph: ExportGraph) -> None:
        formula = Formula(node, graph)
        operands, order = operands_of(formula)
        formula.finish(formula.apply(name, *operands), order)

    return write


def operands_of(formula: Formula) -> tuple[list[int], tuple[int, ...]]:
    """Returns the inputs of an element-wise node in one order, and that order; expanded where no kernel would do it."""
    node, graph = formula.node, formula.graph
    operands, order = graph.aligned(node, range(len(node.inputs)))
    if len(order) <= _BROADCAST_RANK:
        return operands, order
    sizes = graph.shape(node.outputs[0])
    shape = tuple(sizes[axis] for axis in order)
    return [formula.broadcast(index, shape) for index in operands], order


def has_int8_kernel(node: ir.Node, graph: ExportGraph) -> bool:
    """True where a node of one input is an integer unit on int8, with no clamp behind it."""
    x, y, unit = graph.input_params(node, 0), graph.output_params(node), graph.unit(node)
    if x is None or y is None or unit is None:
        return False
    return x.dtype is DType.INT8 and y.dtype is DType.INT8 and not unit.clamps[0]
