"""Activation functions as TFLite operators: ELU by name, the others by formulas of it, EXP, LOG and RELU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from edgert_converters.ops.attributes import get_float
from edgert_converters.ops.element_wise_tflite import formula_writer, unary_writer
from edgert_converters.ops.spec import TfliteWriter
from edgert_converters.tflite.formula import Formula

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph

__all__ = ["ACTIVATION_WRITERS"]

_SELU_ALPHA: Final = 1.67326319217681884765625
_SELU_GAMMA: Final = 1.05070102214813232421875


def write_elu(node: ir.Node, graph: ExportGraph) -> None:
    """Writes an ELU, which has alpha 1, or its formula for another alpha."""
    if get_float(graph.describe(node), "alpha", 1.0) == 1.0:
        unary_writer("ELU", integers=True)(node, graph)
    else:
        formula_writer(elu)(node, graph)


def elu(f: Formula, x: int) -> int:
    """Returns x above zero, else alpha * (exp(x) - 1), as relu(x) + alpha * ELU of min(x, 0)."""
    return _two_sided(f, x, 1.0, get_float(f.spec, "alpha", 1.0), 1.0)


def selu(f: Formula, x: int) -> int:
    """Returns gamma * (relu(x) + alpha * elu(min(x, 0)))."""
    gamma = get_float(f.spec, "gamma", _SELU_GAMMA)
    return _two_sided(f, x, gamma, gamma * get_float(f.spec, "alpha", _SELU_ALPHA), 1.0)


def celu(f: Formula, x: int) -> int:
    """Returns relu(x) + alpha * elu(min(x, 0) / alpha)."""
    alpha = get_float(f.spec, "alpha", 1.0)
    return _two_sided(f, x, 1.0, alpha, 1 / alpha)


def _two_sided(f: Formula, x: int, above: float, below: float, inner: float) -> int:
    """Returns above * relu(x) + below * elu(inner * min(x, 0))."""
    low = f.apply("MINIMUM", x, f.number(0, x))
    curve = f.apply("ELU", low if inner == 1.0 else f.apply("MUL", low, f.number(inner, x)))
    line = f.apply("RELU", x)
    left = line if above == 1.0 else f.apply("MUL", line, f.number(above, x))
    right = curve if below == 1.0 else f.apply("MUL", curve, f.number(below, x))
    return f.apply("ADD", left, right)


def softplus(f: Formula, x: int) -> int:
    """Returns relu(x) + log(1 + exp(-|x|)), which does not overflow."""
    falling = f.apply("EXP", f.apply("NEG", f.apply("ABS", x)))
    tail = f.apply("LOG", f.apply("ADD", falling, f.number(1, x)))
    return f.apply("ADD", f.apply("RELU", x), tail)


def mish(f: Formula, x: int) -> int:
    """Returns x * tanh(softplus(x))."""
    return f.apply("MUL", x, f.apply("TANH", softplus(f, x)))


def softsign(f: Formula, x: int) -> int:
    """Returns x / (1 + |x|)."""
    return f.apply("DIV", x, f.apply("ADD", f.apply("ABS", x), f.number(1, x)))


def hard_sigmoid(f: Formula, x: int) -> int:
    """Returns min(relu(alpha * x + beta), 1)."""
    alpha, beta = get_float(f.spec, "alpha", 0.2), get_float(f.spec, "beta", 0.5)
    line = f.apply("ADD", f.apply("MUL", x, f.number(alpha, x)), f.number(beta, x))
    return f.apply("MINIMUM", f.apply("RELU", line), f.number(1, x))


def thresholded_relu(f: Formula, x: int) -> int:
    """Returns x where it is above alpha, else 0."""
    above = f.apply("GREATER", x, f.number(get_float(f.spec, "alpha", 1.0), x))
    return f.apply("SELECT_V2", above, x, f.number(0, x), shape=f.shape(x))


def shrink(f: Formula, x: int) -> int:
    """Returns x + bias below -lambd, x - bias above lambd, else 0."""
    bias, limit = get_float(f.spec, "bias", 0.0), get_float(f.spec, "lambd", 0.5)
    above = f.apply("GREATER", x, f.number(limit, x))
    below = f.apply("LESS", x, f.number(-limit, x))
    right = f.apply("SELECT_V2", above, f.apply("SUB", x, f.number(bias, x)), f.number(0, x), shape=f.shape(x))
    return f.apply("SELECT_V2", below, f.apply("ADD", x, f.number(bias, x)), right, shape=f.shape(x))


ACTIVATION_WRITERS: Final[Mapping[str, TfliteWriter]] = {
    "Celu": formula_writer(celu),
    "Elu": write_elu,
    "HardSigmoid": formula_writer(hard_sigmoid),
    "Mish": formula_writer(mish),
    "Selu": formula_writer(selu),
    "Shrink": formula_writer(shrink),
    "Softplus": formula_writer(softplus),
    "Softsign": formula_writer(softsign),
    "ThresholdedRelu": formula_writer(thresholded_relu),
}
