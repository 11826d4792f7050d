"""Unary functions: one table rule for all, one line per operator.

The integer rule is a 256-entry table filled in double precision (rules.table_rule); Abs and Neg are exact in float32.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.attributes import get_float, get_str
from edgert_converters.ops.rules import (
    Float64Function,
    elementwise_float32,
    no_macs,
    table_rule,
    unary_reference,
)
from edgert_converters.ops.samples import normal, positive
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPECS"]

Float64 = NDArray[np.float64]
_ERF: Final = np.frompyfunc(math.erf, 1, 1)


def absolute(node: Node, x: Float64) -> Float64:
    """Returns |x|."""
    return np.abs(x)


def negative(node: Node, x: Float64) -> Float64:
    """Returns -x."""
    return -x


def square_root(node: Node, x: Float64) -> Float64:
    """Returns the square root; NaN below zero."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(x)


def exponential(node: Node, x: Float64) -> Float64:
    """Returns e to the power of x."""
    with np.errstate(over="ignore"):
        return np.exp(x)


def logarithm(node: Node, x: Float64) -> Float64:
    """Returns the natural logarithm; NaN below zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(x)


def error_function(node: Node, x: Float64) -> Float64:
    """Returns erf(x)."""
    return np.asarray(_ERF(x), np.float64)


def sigmoid(node: Node, x: Float64) -> Float64:
    """Returns 1 / (1 + exp(-x)) without overflow."""
    power = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + power), power / (1 + power))


def hyperbolic_tangent(node: Node, x: Float64) -> Float64:
    """Returns tanh(x)."""
    return np.tanh(x)


def hard_sigmoid(node: Node, x: Float64) -> Float64:
    """Returns clip(alpha * x + beta, 0, 1)."""
    alpha = float(np.float32(get_float(node, "alpha", 0.2)))
    beta = float(np.float32(get_float(node, "beta", 0.5)))
    return np.clip(alpha * x + beta, 0, 1)


def hard_swish(node: Node, x: Float64) -> Float64:
    """Returns x * clip(x / 6 + 0.5, 0, 1)."""
    return x * np.clip(x / 6 + 0.5, 0, 1)


def gelu(node: Node, x: Float64) -> Float64:
    """Returns the Gaussian error linear unit.

    Source: D. Hendrycks and K. Gimpel, Gaussian error linear units, 2016, arXiv:1606.08415, equation 2 (exact) and the
    tanh approximation below it (`approximate` = "tanh").
    """
    if get_str(node, "approximate", "none") == "tanh":
        factor = 1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))
    else:
        factor = 1 + error_function(node, x / math.sqrt(2))
    result: Float64 = 0.5 * x * factor
    return result


def _unary(
    op_type: str,
    function: Float64Function,
    sample: Array,
    *,
    exact: bool = False,
    fused: bool = False,
    fixed_output: tuple[float, int] | None = None,
) -> Operator:
    reference = unary_reference(function)
    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=reference,
        quantization=QuantRule.OWN,
        channels=ChannelRule.KEEPS,
        cases=(Case("plain", (sample,)),),
        integer=elementwise_float32(reference) if exact else table_rule(function),
        onnxruntime_int8=fused,
        fixed_output=fixed_output,
    )


_BOTH_SIGNS = normal(2, 3, 40, seed=1, spread=3)
_UNIT_INTERVAL = (1 / 256, -128)
_POSITIVE = positive(2, 3, 40, seed=2)

SPECS: Final = (
    _unary("Abs", absolute, _BOTH_SIGNS, exact=True),
    _unary("Erf", error_function, _BOTH_SIGNS),
    _unary("Exp", exponential, _BOTH_SIGNS),
    _unary("Gelu", gelu, _BOTH_SIGNS),
    _unary("HardSigmoid", hard_sigmoid, _BOTH_SIGNS),
    _unary("HardSwish", hard_swish, _BOTH_SIGNS),
    _unary("Log", logarithm, _POSITIVE),
    _unary("Neg", negative, _BOTH_SIGNS, exact=True),
    _unary("Sigmoid", sigmoid, _BOTH_SIGNS, fused=True, fixed_output=_UNIT_INTERVAL),
    _unary("Sqrt", square_root, _POSITIVE),
    _unary("Tanh", hyperbolic_tangent, _BOTH_SIGNS),
)
