"""Sigmoid, Tanh and HardSwish.

Integer rule: a 256-entry table filled in double precision (rules.table_rule). In `q31` mode TensorFlow Lite's
fixed-point arithmetic: x in Q4 for Sigmoid and Tanh, 16-bit products for HardSwish.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.quant import QuantParams, multiplier_q31, multiply_q31
from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.fixed_point import Raw, divide_by_power, logistic, tanh
from edgert_converters.ops.fixed_point_int16 import sigmoid_int16, tanh_int16
from edgert_converters.ops.gates_tflite import GATE_READERS, GATE_WRITERS
from edgert_converters.ops.q31 import centred_integers, clamped, scale_of
from edgert_converters.ops.rules import table_rule
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Node, QTensor
from edgert_converters.ops.unary_operator import table_operator

__all__ = ["SPECS", "sigmoid"]

Float64 = NDArray[np.float64]

_INPUT_BITS = 4


def sigmoid(node: Node, x: Float64) -> Float64:
    """Returns 1 / (1 + exp(-x)) without overflow."""
    power = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + power), power / (1 + power))


def hyperbolic_tangent(node: Node, x: Float64) -> Float64:
    """Returns tanh(x)."""
    return np.tanh(x)


def hard_swish(node: Node, x: Float64) -> Float64:
    """Returns x * clip(x / 6 + 0.5, 0, 1)."""
    return x * np.clip(x / 6 + 0.5, 0, 1)


def sigmoid_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns what LOGISTIC gives; its output is fixed to scale 1 / 256, so another one takes the table."""
    x, params = require_input(node, inputs, 0), outputs[0]
    if _is_int16(x, params):
        return [clamped(sigmoid_int16(x.values.astype(np.int64), scale_of(x.params)), params)]
    if params.scale[0] != 1 / 256 or x.params.dtype is not DType.INT8:
        return table_rule(sigmoid)(node, inputs, outputs)
    return [_through_q4(x, params, lambda raw: divide_by_power(logistic(raw, _INPUT_BITS), 23), 256)]


def tanh_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns what TANH gives; its output is fixed to scale 1 / 128, so another one takes the table."""
    x, params = require_input(node, inputs, 0), outputs[0]
    if _is_int16(x, params):
        return [clamped(tanh_int16(x.values.astype(np.int64), scale_of(x.params)), params)]
    if params.scale[0] != 1 / 128 or x.params.dtype is not DType.INT8:
        return table_rule(hyperbolic_tangent)(node, inputs, outputs)
    return [_through_q4(x, params, lambda raw: divide_by_power(tanh(raw, _INPUT_BITS), 24), 128)]


def _is_int16(x: QTensor, params: QuantParams) -> bool:
    """True where the 16-bit kernels apply: both ends symmetric, output scale 2^-15."""
    kinds = {x.params.dtype, params.dtype}
    return (
        kinds == {DType.INT16} and params.scale[0] == 1 / 32768 and not (x.params.zero_point[0] or params.zero_point[0])
    )


def _through_q4(x: QTensor, params: QuantParams, function: Callable[[Raw], Raw], limit: int) -> QTensor:
    """Returns function(x in Q4); what Q4 cannot hold saturates."""
    multiplier, shift = multiplier_q31(np.float64(scale_of(x.params)) * (1 << (31 - _INPUT_BITS)))
    radius = math.floor(((1 << _INPUT_BITS) - 1) * 2.0 ** (31 - _INPUT_BITS - int(shift)))
    values = centred_integers(x)
    inside = np.clip(values, -radius, radius)
    result = function(multiply_q31(inside, multiplier, shift))
    return clamped(np.where(values >= radius, limit, np.where(values <= -radius, -limit, result)), params)


def hard_swish_q31(
    node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]
) -> list[QTensor]:
    """Returns x * (x + 3, clamped to [0, 6]) / 6 in 16-bit fixed point, as HARD_SWISH does."""
    x, params = require_input(node, inputs, 0), outputs[0]
    fine = np.float32(1 / 128) * scale_of(x.params)
    output, output_exponent = multiplier_q31(np.float64(fine / scale_of(params)))
    gate, gate_exponent = multiplier_q31(np.float64(fine / (np.float32(3) / np.float32(32768))))
    if x.params.dtype.itemsize_bytes != 1 or int(output_exponent) > 0:
        return table_rule(hard_swish)(node, inputs, outputs)
    values = centred_integers(x) << 7
    value = _high_multiply16(values, _to_16(int(output)))
    exponent = int(gate_exponent)
    share = _saturate16(values << max(exponent - 1, 0))
    share = _high_multiply16(share, _to_16(int(gate)))
    if exponent > 0:
        share = _saturate16(share << 1)
    elif exponent < 0:
        share = divide_by_power(share, -exponent)
    share = (share + (1 << 15)) >> 1
    product = share * value
    product = np.sign(product) * (np.abs(product) >> 15)  # towards zero
    return [clamped(divide_by_power(product, -int(output_exponent)), params)]


def _to_16(multiplier: int) -> int:
    """Returns the upper half of a 32-bit multiplier, rounded and saturated."""
    return min((multiplier + (1 << 15)) >> 16, (1 << 15) - 1)


def _high_multiply16(a: Raw, b: int) -> Raw:
    """Returns a * b / 2^15, rounded half away from zero."""
    product = a * b
    total = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    return np.where(total >= 0, total >> 15, -(-total >> 15))


def _saturate16(x: Raw) -> Raw:
    return np.clip(x, -(1 << 15), (1 << 15) - 1)


_BOTH_SIGNS = normal(2, 3, 40, seed=1, spread=3)
_UNIT_INTERVAL = (1 / 256, -128)

SPECS: Final = with_hooks(
    (
        replace(table_operator("HardSwish", hard_swish, _BOTH_SIGNS), integer_q31=hard_swish_q31),
        replace(
            table_operator("Sigmoid", sigmoid, _BOTH_SIGNS, fused=True, fixed_output=_UNIT_INTERVAL),
            integer_q31=sigmoid_q31,
        ),
        # TensorFlow Lite's kernels know no other output, and it covers [-1, 1) as no other does
        replace(
            table_operator("Tanh", hyperbolic_tangent, _BOTH_SIGNS, fixed_output=(1 / 128, 0)),
            integer_q31=tanh_q31,
        ),
    ),
    GATE_READERS,
    GATE_WRITERS,
)
