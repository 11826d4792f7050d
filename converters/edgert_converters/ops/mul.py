"""Mul with numpy broadcasting.

Integer rule (ONNX Runtime's order of operations; the zero point is added before rounding):

    m = f32(f32(s_a * s_b) / s_y)
    y = clamp(rint(f32(f32((a - zp_a) * (b - zp_b)) * m) + zp_y))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import QuantParams, multiplier_q31, requantize_q31
from edgert_converters.ops.arithmetic_tflite import arithmetic_reader, arithmetic_writer
from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.q31 import centred_integers, scale_of
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns a * b."""
    return [np.asarray(require_input(node, inputs, 0) * require_input(node, inputs, 1))]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the product of the module docstring; (a - zp_a) * (b - zp_b) is exact in float32."""
    a, b = require_input(node, inputs, 0), require_input(node, inputs, 1)
    params = outputs[0]
    left = (a.values.astype(np.int64) - a.params.zero_point[0]).astype(np.float32)
    right = (b.values.astype(np.int64) - b.params.zero_point[0]).astype(np.float32)
    multiplier = np.float32(a.params.scale[0]) * np.float32(b.params.scale[0]) / np.float32(params.scale[0])
    total = left * right * multiplier + np.float32(params.zero_point[0])
    low, high = params.dtype.integer_range
    return [QTensor(np.clip(np.rint(total), low, high).astype(params.dtype.numpy), params)]


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns (a - zp_a) * (b - zp_b) times the fixed-point s_a * s_b / s_y, formed in double precision."""
    a, b = require_input(node, inputs, 0), require_input(node, inputs, 1)
    params = outputs[0]
    real = np.float64(scale_of(a.params)) * np.float64(scale_of(b.params)) / np.float64(scale_of(params))
    product = centred_integers(a) * centred_integers(b)
    return [QTensor(requantize_q31(product, *multiplier_q31(real), params), params)]


CASES = (
    Case("same_shape", (normal(2, 5, 7, 3, seed=1), normal(2, 5, 7, 3, seed=2))),
    Case("gate", (normal(2, 6, 5, 5, seed=3), normal(2, 6, 1, 1, seed=4))),
    Case("scalar", (normal(3, 33, seed=5), normal(1, seed=6)), {}, (1,)),
    Case("shapes_int64", (ints(1, 2, 3), ints(4, 5, 6))),
)

SPEC = Operator(
    op_type="Mul",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.JOINS,
    cases=CASES,
    integer=integer,
    integer_q31=integer_q31,
    from_tflite={"MUL": arithmetic_reader("Mul")},
    to_tflite=arithmetic_writer("MUL"),
    onnxruntime_int8=True,
)
