"""Add with numpy broadcasting.

Integer rule (the order of ONNX Runtime's AVX2 kernel; fma rounds once):

    r_a = f32(s_a / s_y), r_b = f32(s_b / s_y)
    fixed = f32(zp_y - f32(f32(r_a * zp_a) + f32(r_b * zp_b)))
    y = clamp(rint(fma(a, r_a, fma(b, r_b, fixed))))
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import QuantParams
from edgert_converters.ops.arithmetic_tflite import arithmetic_reader, arithmetic_writer
from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.q31 import sum_q31
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns a + b."""
    return [np.asarray(require_input(node, inputs, 0) + require_input(node, inputs, 1))]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the sum of the module docstring; float64 stands in for the fused multiply-add.

    a * r has at most 32 significant bits, so the float64 sum is exact unless the exponents lie 21 bits apart.
    """
    a, b = require_input(node, inputs, 0), require_input(node, inputs, 1)
    params = outputs[0]
    ratio_a = np.float32(a.params.scale[0]) / np.float32(params.scale[0])
    ratio_b = np.float32(b.params.scale[0]) / np.float32(params.scale[0])
    zero_a, zero_b = np.float32(a.params.zero_point[0]), np.float32(b.params.zero_point[0])
    fixed = np.float32(params.zero_point[0]) - (ratio_a * zero_a + ratio_b * zero_b)
    partial = (b.values.astype(np.float64) * np.float64(ratio_b) + np.float64(fixed)).astype(np.float32)
    total = (a.values.astype(np.float64) * np.float64(ratio_a) + partial).astype(np.float32)
    low, high = params.dtype.integer_range
    return [QTensor(np.clip(np.rint(total), low, high).astype(params.dtype.numpy), params)]


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the sum at twice the larger scale, the ratios of the scales formed in double precision."""
    a, b = require_input(node, inputs, 0), require_input(node, inputs, 1)
    return [sum_q31(a, b, outputs[0], sign=1, in_float32=False)]


CASES = (
    Case("same_shape", (normal(2, 5, 7, 3, seed=1), normal(2, 5, 7, 3, seed=2, spread=0.4))),
    Case("bias", (normal(2, 6, 40, seed=3), normal(6, 1, seed=4)), {}, (1,)),
    Case("scalar", (normal(3, 33, seed=5), normal(1, seed=6)), {}, (1,)),
    Case("shapes_int64", (ints(1, 2, 3), ints(4, 5, 6))),
)


SPEC = Operator(
    op_type="Add",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.JOINS,
    cases=CASES,
    integer=integer,
    integer_q31=integer_q31,
    onnxruntime_int8=True,
    from_tflite={"ADD": arithmetic_reader("Add")},
    to_tflite=arithmetic_writer("ADD"),
)
