"""Div with numpy broadcasting; integers truncate towards zero.

Integer rule: dequantize, divide in float32, quantize.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import QuantParams, multiplier_q31
from edgert_converters.ops.arithmetic_tflite import arithmetic_reader, arithmetic_writer
from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.fixed_point import count_leading_zeros, divide_by_power, high_multiply, reciprocal
from edgert_converters.ops.q31 import centred_integers, clamped, scale_of
from edgert_converters.ops.rules import elementwise_float32, no_macs
from edgert_converters.ops.samples import ints, normal, positive
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns a / b."""
    a, b = require_input(node, inputs, 0), require_input(node, inputs, 1)
    if np.issubdtype(a.dtype, np.floating):
        with np.errstate(divide="ignore", invalid="ignore"):
            return [np.asarray(a / b)]
    return [np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), a.dtype)]


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns a / b by a fixed-point reciprocal of |b|; division by zero saturates (undefined in the reference)."""
    a, b = require_input(node, inputs, 0), require_input(node, inputs, 1)
    params = outputs[0]
    real = np.float64(scale_of(a.params) / (scale_of(b.params) * scale_of(params)))
    multiplier, shift = multiplier_q31(real)
    left, right = np.broadcast_arrays(centred_integers(a), centred_integers(b))
    left = np.where(right < 0, -left, left)
    inverse, bits = reciprocal(np.maximum(np.abs(right), 1), 31)
    headroom = count_leading_zeros(np.where(left < 0, ~left, left)) - 1
    quotient = high_multiply(left << headroom, inverse)
    scaled = divide_by_power(high_multiply(quotient, multiplier), bits + headroom - shift)
    return [clamped(np.where(right == 0, np.sign(left) << 16, scaled), params)]


CASES = (
    Case("constant", (normal(2, 5, 7, seed=1), positive(5, 1, seed=2)), {}, (1,)),
    Case("shapes_int64", (ints(7, -7, 9), ints(2, 2, 3))),
)

SPEC = Operator(
    op_type="Div",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.JOINS,
    cases=CASES,
    integer=elementwise_float32(reference),
    integer_q31=integer_q31,
    from_tflite={"DIV": arithmetic_reader("Div")},
    to_tflite=arithmetic_writer("DIV", integers=False),  # LiteRT divides floats and uint8 only
)
