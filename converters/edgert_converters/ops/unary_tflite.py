"""Functions of one number to and from TFLite: those that it has by name, and formulas for those that it has not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from edgert.dtypes import DType
from edgert_converters.ops.attributes import get_int, get_str
from edgert_converters.ops.element_wise_tflite import formula_writer, has_int8_kernel, unary_reader, unary_writer
from edgert_converters.ops.spec import TfliteReader, TfliteWriter
from edgert_converters.tflite.formula import Formula

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["UNARY_READERS", "UNARY_WRITERS"]

# M. Abramowitz and I. Stegun, Handbook of mathematical functions, 1964, formula 7.1.26: off by at most 1.5e-7
_ERF_P: Final = 0.3275911
_ERF_A: Final = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def read_square(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds x * x."""
    x = graph.read(operator.inputs[0])
    graph.finish(operator, graph.add("Mul", [x.value, x.value]), x.order, activation="NONE")


def read_rsqrt(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds 1 / sqrt(x)."""
    x = graph.read(operator.inputs[0])
    root = graph.add("Sqrt", [x.value])
    graph.finish(operator, graph.add("Reciprocal", [root]), x.order, activation="NONE")


def read_gelu(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Gelu, exact or by tanh as the option says."""
    x = graph.read(operator.inputs[0])
    kind = "tanh" if operator.options.get("approximate") else "none"
    graph.finish(operator, graph.add("Gelu", [x.value], {"approximate": kind}), x.order, activation="NONE")


def read_atan2(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds atan(y / x), moved by half a turn to where y has its sign for x below zero; 0 where both are 0."""
    (y, x), order = graph.aligned(operator.inputs)
    zero = graph.initializer("zero", np.asarray(0, np.float32))
    turns = [graph.initializer("turn", np.asarray(turn, np.float32)) for turn in (-np.pi, np.pi)]
    half_turn = graph.add("Where", [graph.add("Less", [y, zero]), *turns])
    moved = graph.add("Where", [graph.add("Less", [x, zero]), half_turn, zero])
    angle = graph.add("Add", [graph.add("Atan", [graph.add("Div", [y, x])]), moved])
    both = graph.add("And", [graph.add("Equal", [y, zero]), graph.add("Equal", [x, zero])])
    graph.finish(operator, graph.add("Where", [both, zero, angle]), order, activation="NONE")


def write_abs(node: ir.Node, graph: ExportGraph) -> None:
    """Writes an ABS; on whole numbers the larger of x and -x, which older interpreters know as well."""
    if not has_int8_kernel(node, graph):
        graph.compute_in_float(node)
    x = graph.read(node, 0)
    if graph.made(x.index).dtype is DType.INT32:
        formula = Formula(node, graph)
        formula.finish(formula.apply("MAXIMUM", x.index, formula.apply("NEG", x.index)), x.order)
        return
    graph.emit("ABS", [x.index], [graph.tensor(graph.result(node), x.order)])


def write_gelu(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a GELU."""
    if not has_int8_kernel(node, graph):
        graph.compute_in_float(node)
    x = graph.read(node, 0)
    tanh = get_str(graph.describe(node), "approximate", "none") == "tanh"
    graph.emit("GELU", [x.index], [graph.tensor(graph.result(node), x.order)], approximate=tanh)


def erf(f: Formula, x: int) -> int:
    """Returns sign(x) * (1 - poly(t) * exp(-x * x)) with t = 1 / (1 + p * |x|)."""
    size = f.apply("ABS", x)
    one = f.number(1, x)
    t = f.apply("DIV", one, f.apply("ADD", f.apply("MUL", size, f.number(_ERF_P, x)), one))
    total = f.apply("MUL", t, f.number(_ERF_A[0], x))
    for factor in _ERF_A[1:]:
        total = f.apply("MUL", f.apply("ADD", total, f.number(factor, x)), t)
    falling = f.apply("EXP", f.apply("NEG", f.apply("MUL", x, x)))
    return f.apply("MUL", f.apply("SIGN", x), f.apply("SUB", one, f.apply("MUL", total, falling)))


def reciprocal(f: Formula, x: int) -> int:
    """Returns 1 / x."""
    return f.apply("DIV", f.number(1, x), x)


def sign(f: Formula, x: int) -> int:
    """Returns the sign; of whole numbers by clamping to [-1, 1]."""
    if f.dtype(x) is not DType.INT32:
        return f.apply("SIGN", x)
    return f.apply("MINIMUM", f.apply("MAXIMUM", x, f.number(-1, x)), f.number(1, x))


def tan(f: Formula, x: int) -> int:
    """Returns sin(x) / cos(x)."""
    return f.apply("DIV", f.apply("SIN", x), f.apply("COS", x))


def sinh(f: Formula, x: int) -> int:
    """Returns (exp(x) - exp(-x)) / 2."""
    return _half(f, "SUB", x)


def cosh(f: Formula, x: int) -> int:
    """Returns (exp(x) + exp(-x)) / 2."""
    return _half(f, "ADD", x)


def asin(f: Formula, x: int) -> int:
    """Returns atan2(x, sqrt(1 - x * x))."""
    return f.apply("ATAN2", x, _root_of_rest(f, x))


def acos(f: Formula, x: int) -> int:
    """Returns atan2(sqrt(1 - x * x), x)."""
    return f.apply("ATAN2", _root_of_rest(f, x), x)


def atan(f: Formula, x: int) -> int:
    """Returns atan2(x, 1); ATAN2 does not broadcast, so the ones are whether x equals itself."""
    return f.apply("ATAN2", x, f.cast(f.apply("EQUAL", x, x), DType.FLOAT))


def is_inf(f: Formula, x: int) -> int:
    """Returns whether x is infinite, with the signs that the node asks for."""
    above, below = get_int(f.spec, "detect_positive", 1), get_int(f.spec, "detect_negative", 1)
    if above and below:
        return f.apply("EQUAL", f.apply("ABS", x), f.number(np.inf, x))
    if not above and not below:
        return f.apply("LESS", f.apply("ABS", x), f.number(0, x))  # never
    return f.apply("EQUAL", x, f.number(np.inf if above else -np.inf, x))


def is_nan(f: Formula, x: int) -> int:
    """Returns whether x differs from itself."""
    return f.apply("NOT_EQUAL", x, x)


def asinh(f: Formula, x: int) -> int:
    """Returns sign(x) * log(|x| + sqrt(x * x + 1))."""
    size = f.apply("ABS", x)
    root = f.apply("SQRT", f.apply("ADD", f.apply("MUL", x, x), f.number(1, x)))
    return f.apply("MUL", f.apply("SIGN", x), f.apply("LOG", f.apply("ADD", size, root)))


def acosh(f: Formula, x: int) -> int:
    """Returns log(x + sqrt(x * x - 1))."""
    root = f.apply("SQRT", f.apply("SUB", f.apply("MUL", x, x), f.number(1, x)))
    return f.apply("LOG", f.apply("ADD", x, root))


def atanh(f: Formula, x: int) -> int:
    """Returns log((1 + x) / (1 - x)) / 2."""
    one = f.number(1, x)
    ratio = f.apply("DIV", f.apply("ADD", x, one), f.apply("SUB", one, x))
    return f.apply("MUL", f.apply("LOG", ratio), f.number(0.5, x))


def _half(f: Formula, operator: str, x: int) -> int:
    pair = f.apply(operator, f.apply("EXP", x), f.apply("EXP", f.apply("NEG", x)))
    return f.apply("MUL", pair, f.number(0.5, x))


def _root_of_rest(f: Formula, x: int) -> int:
    """Adds sqrt((1 - x) * (1 + x)), which keeps its digits near 1."""
    one = f.number(1, x)
    return f.apply("SQRT", f.apply("MUL", f.apply("SUB", one, x), f.apply("ADD", x, one)))


UNARY_READERS: Final[Mapping[str, Mapping[str, TfliteReader]]] = {
    "Abs": {"ABS": unary_reader("Abs")},
    "Atan": {"ATAN2": read_atan2},
    "Ceil": {"CEIL": unary_reader("Ceil")},
    "Cos": {"COS": unary_reader("Cos")},
    "Elu": {"ELU": unary_reader("Elu")},
    "Exp": {"EXP": unary_reader("Exp")},
    "Floor": {"FLOOR": unary_reader("Floor")},
    "Gelu": {"GELU": read_gelu},
    "Log": {"LOG": unary_reader("Log")},
    "Neg": {"NEG": unary_reader("Neg")},
    "Reciprocal": {"RSQRT": read_rsqrt},
    "Round": {"ROUND": unary_reader("Round")},
    "Sign": {"SIGN": unary_reader("Sign")},
    "Sin": {"SIN": unary_reader("Sin")},
    "Sqrt": {"SQRT": unary_reader("Sqrt")},
}
"""By ONNX operator; SQUARE is read by Pow's row."""

UNARY_WRITERS: Final[Mapping[str, TfliteWriter]] = {
    "Abs": write_abs,
    "Acos": formula_writer(acos),
    "Acosh": formula_writer(acosh),
    "Asin": formula_writer(asin),
    "Asinh": formula_writer(asinh),
    "Atan": formula_writer(atan),
    "Atanh": formula_writer(atanh),
    "Ceil": unary_writer("CEIL"),
    "Cos": unary_writer("COS"),
    "Cosh": formula_writer(cosh),
    "Erf": formula_writer(erf),
    "Exp": unary_writer("EXP", integers=True),
    "Floor": unary_writer("FLOOR"),
    "Gelu": write_gelu,
    "IsInf": formula_writer(is_inf),
    "IsNaN": formula_writer(is_nan),
    "Log": unary_writer("LOG"),  # tflite-runtime 2.14 does not know the form for int8
    "Neg": unary_writer("NEG"),
    "Reciprocal": formula_writer(reciprocal),
    "Round": unary_writer("ROUND"),
    "Sign": formula_writer(sign),
    "Sin": unary_writer("SIN"),
    "Sinh": formula_writer(sinh),
    "Sqrt": unary_writer("SQRT"),
    "Tan": formula_writer(tan),
}
