"""Operators with broadcast inputs to and from TFLite: comparisons, logic, Max, Min, Pow, Mod, Where, Sum, Mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from edgert.dtypes import DType
from edgert_converters.ops.attributes import get_int
from edgert_converters.ops.element_wise_tflite import (
    element_wise_reader,
    element_wise_writer,
    operands_of,
    unary_reader,
    unary_writer,
)
from edgert_converters.ops.spec import TfliteReader, TfliteWriter
from edgert_converters.ops.unary_tflite import read_square
from edgert_converters.tflite.formula import Formula

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["PAIR_READERS", "PAIR_WRITERS"]


def read_not_equal(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds Equal and Not; of booleans Xor."""
    operands, order = graph.aligned(operator.inputs)
    if graph.tensor(operator.inputs[0]).dtype is DType.BOOL:
        result = graph.add("Xor", operands)
    else:
        result = graph.add("Not", [graph.add("Equal", operands)])
    graph.finish(operator, result, order, activation="NONE")


def read_squared_difference(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds the square of a difference."""
    operands, order = graph.aligned(operator.inputs)
    difference = graph.add("Sub", operands)
    graph.finish(operator, graph.add("Mul", [difference, difference]), order, activation="NONE")


def read_floor_mod(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Mod with the divisor's sign; of floats the remainder with the dividend's sign, moved by the divisor."""
    (x, y), order = graph.aligned(operator.inputs)
    if graph.tensor(operator.inputs[0]).dtype is not DType.FLOAT:
        graph.finish(operator, graph.add("Mod", [x, y]), order, activation="NONE")
        return
    zero = graph.initializer("zero", np.asarray(0, np.float32))
    rest = graph.add("Mod", [x, y], {"fmod": 1})
    other_sign = graph.add("Xor", [graph.add("Less", [rest, zero]), graph.add("Less", [y, zero])])
    moves = graph.add("And", [graph.add("Not", [graph.add("Equal", [rest, zero])]), other_sign])
    result = graph.add("Where", [moves, graph.add("Add", [rest, y]), rest])
    graph.finish(operator, result, order, activation="NONE")


def read_floor_div(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a division rounded down; of whole numbers (x - x mod y) / y, which is exact."""
    (x, y), order = graph.aligned(operator.inputs)
    if graph.tensor(operator.inputs[0]).dtype is DType.FLOAT:
        result = graph.add("Floor", [graph.add("Div", [x, y])])
    else:
        result = graph.add("Div", [graph.add("Sub", [x, graph.add("Mod", [x, y])]), y])
    graph.finish(operator, result, order, activation="NONE")


def read_select(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Where; a vector as condition of SELECT goes along the first axis."""
    rank = len(graph.shape(operator.inputs[1]))
    condition_rank = len(graph.shape(operator.inputs[0]))
    if operator.name == "SELECT" and condition_rank == 1 and rank > 1:
        values, order = graph.aligned(operator.inputs[1:])
        shape = [1] * rank
        shape[order.index(0)] = -1
        condition = graph.add("Reshape", [graph.plain(operator.inputs[0]), graph.ints(shape)])
        graph.finish(operator, graph.add("Where", [condition, *values]), order, activation="NONE")
        return
    operands, order = graph.aligned(operator.inputs)
    graph.finish(operator, graph.add("Where", operands), order, activation="NONE")


def write_extreme(name: str) -> TfliteWriter:
    """Returns the hook for Max or Min of any number of inputs; on int8 where all share one scale."""

    def write(node: ir.Node, graph: ExportGraph) -> None:
        if _has_one_int8_scale(node, graph) and len(node.inputs) == 2 and len(graph.shape(node.outputs[0])) <= 4:
            operands, order = graph.aligned(node, (0, 1))
            graph.emit(name, operands, [graph.tensor(graph.result(node), order)])
            return
        _write_chain(node, graph, name)

    return write


def write_sum(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a chain of ADD."""
    _write_chain(node, graph, "ADD")


def write_mean(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a chain of ADD and a division by the number of inputs."""
    formula = Formula(node, graph)
    operands, order = operands_of(formula)
    total = _chained(formula, "ADD", operands)
    formula.finish(formula.apply("DIV", total, formula.number(len(operands), total)), order)


def write_pow(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a POW; an exponent of another type is cast to that of the base."""
    formula = Formula(node, graph)
    (base, exponent), order = operands_of(formula)
    formula.finish(formula.apply("POW", base, formula.cast(exponent, formula.dtype(base))), order)


def write_mod(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a FLOOR_MOD; with fmod = 1 that of the magnitudes, with the dividend's sign."""
    formula = Formula(node, graph)
    (x, y), order = operands_of(formula)
    if not get_int(formula.spec, "fmod", 0):
        formula.finish(formula.apply("FLOOR_MOD", x, y), order)
        return
    size_x, size_y = (formula.apply("MAXIMUM", v, formula.apply("NEG", v)) for v in (x, y))
    rest = formula.apply("FLOOR_MOD", size_x, size_y)
    negative = formula.apply("LESS", x, formula.number(0, x))
    formula.finish(formula.apply("SELECT_V2", negative, formula.apply("NEG", rest), rest), order)


def _write_chain(node: ir.Node, graph: ExportGraph, name: str) -> None:
    formula = Formula(node, graph)
    operands, order = operands_of(formula)
    if len(operands) == 1:
        graph.place(node.outputs[0], operands[0], order)
        return
    formula.finish(_chained(formula, name, operands), order)


def _chained(formula: Formula, name: str, operands: list[int]) -> int:
    total = operands[0]
    for operand in operands[1:]:
        total = formula.apply(name, total, operand)
    return total


def _has_one_int8_scale(node: ir.Node, graph: ExportGraph) -> bool:
    unit, y = graph.unit(node), graph.output_params(node)
    if unit is None or y is None or y.dtype is not DType.INT8 or unit.clamps[0]:
        return False
    return all(graph.input_params(node, index) == y for index in range(len(node.inputs)))


PAIR_READERS: Final[Mapping[str, Mapping[str, TfliteReader]]] = {
    "And": {"LOGICAL_AND": element_wise_reader("And")},
    "Equal": {"EQUAL": element_wise_reader("Equal"), "NOT_EQUAL": read_not_equal},
    "Greater": {"GREATER": element_wise_reader("Greater")},
    "GreaterOrEqual": {"GREATER_EQUAL": element_wise_reader("GreaterOrEqual")},
    "Less": {"LESS": element_wise_reader("Less")},
    "LessOrEqual": {"LESS_EQUAL": element_wise_reader("LessOrEqual")},
    "Max": {"MAXIMUM": element_wise_reader("Max")},
    "Min": {"MINIMUM": element_wise_reader("Min")},
    "Mod": {"FLOOR_MOD": read_floor_mod, "FLOOR_DIV": read_floor_div},
    "Not": {"LOGICAL_NOT": unary_reader("Not")},
    "Or": {"LOGICAL_OR": element_wise_reader("Or")},
    "Pow": {
        "POW": element_wise_reader("Pow"),
        "SQUARE": read_square,
        "SQUARED_DIFFERENCE": read_squared_difference,
    },
    "Where": {"SELECT": read_select, "SELECT_V2": read_select},
}
"""By ONNX operator."""

PAIR_WRITERS: Final[Mapping[str, TfliteWriter]] = {
    "And": element_wise_writer("LOGICAL_AND"),
    "Equal": element_wise_writer("EQUAL"),
    "Greater": element_wise_writer("GREATER"),
    "GreaterOrEqual": element_wise_writer("GREATER_EQUAL"),
    "Less": element_wise_writer("LESS"),
    "LessOrEqual": element_wise_writer("LESS_EQUAL"),
    "Max": write_extreme("MAXIMUM"),
    "Mean": write_mean,
    "Min": write_extreme("MINIMUM"),
    "Mod": write_mod,
    "Not": unary_writer("LOGICAL_NOT"),
    "Or": element_wise_writer("LOGICAL_OR"),
    "Pow": write_pow,
    "Sum": write_sum,
    "Where": element_wise_writer("SELECT_V2"),
    "Xor": element_wise_writer("NOT_EQUAL"),
}
