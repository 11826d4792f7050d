"""Unary functions of common networks: one table rule for all, one line per operator.

The integer rule is a 256-entry table filled in double precision (rules.table_rule); Abs and Neg are exact in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams, multiplier_q31, requantize_q31
from edgert_converters.ops.activations_tflite import ACTIVATION_WRITERS
from edgert_converters.ops.attributes import get_float, get_str, require_input
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.q31 import centred_integers, clamped, scale_of
from edgert_converters.ops.samples import normal, positive
from edgert_converters.ops.spec import Array, Node, QTensor
from edgert_converters.ops.unary_operator import exact_operator, table_operator
from edgert_converters.ops.unary_tflite import UNARY_READERS, UNARY_WRITERS

__all__ = ["SPECS"]

Float64 = NDArray[np.float64]
_ERF: Final = np.frompyfunc(math.erf, 1, 1)


def absolute(node: Node, x: NDArray[Any]) -> NDArray[Any]:
    """Returns |x|."""
    result: NDArray[Any] = np.abs(x)
    return result


def absolute_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns what TensorFlow Lite's ABS gives: |q - zp_x| times the fixed-point f32(s_x / s_y), where not 1."""
    x, params = require_input(node, inputs, 0), outputs[0]
    size = np.abs(centred_integers(x))
    ratio = scale_of(x.params) / scale_of(params)
    if ratio == 1:
        return [clamped(size, params)]
    return [QTensor(requantize_q31(size, *multiplier_q31(np.asarray(ratio, np.float64)), params), params)]


def negative(node: Node, x: NDArray[Any]) -> NDArray[Any]:
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


def hard_sigmoid(node: Node, x: Float64) -> Float64:
    """Returns clip(alpha * x + beta, 0, 1)."""
    alpha = float(np.float32(get_float(node, "alpha", 0.2)))
    beta = float(np.float32(get_float(node, "beta", 0.5)))
    return np.clip(alpha * x + beta, 0, 1)


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


_BOTH_SIGNS = normal(2, 3, 40, seed=1, spread=3)
_POSITIVE = positive(2, 3, 40, seed=2)

SPECS: Final = with_hooks(
    (
        replace(exact_operator("Abs", absolute, _BOTH_SIGNS), integer_q31=absolute_q31),
        table_operator("Erf", error_function, _BOTH_SIGNS),
        table_operator("Exp", exponential, _BOTH_SIGNS, tflite_table=True),
        table_operator("Gelu", gelu, _BOTH_SIGNS, tflite_table=True),
        table_operator("HardSigmoid", hard_sigmoid, _BOTH_SIGNS),
        table_operator("Log", logarithm, _POSITIVE, tflite_table=True),
        exact_operator("Neg", negative, _BOTH_SIGNS),
        table_operator("Sqrt", square_root, _POSITIVE),
    ),
    UNARY_READERS,
    {**UNARY_WRITERS, **ACTIVATION_WRITERS},
)
