"""Gemm: y = alpha * A' B' + beta * C on matrices. The integer rule needs alpha = beta = 1, as clean-up leaves it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.ops.accumulate import centred, exact_type, in_both_modes, requantize_channels
from edgert_converters.ops.attributes import get_float, get_int, require_input
from edgert_converters.ops.matrix_tflite import read_fully_connected, write_gemm
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule
from edgert_converters.requantize import Requantize

__all__ = ["SPEC"]


def macs(node: Node) -> int:
    """Returns rows times columns times the shared dimension."""
    a = node.input_shapes[0]
    if a is None:
        return 0
    shared = a[0] if get_int(node, "transA", 0) else a[1]
    return int(np.prod(node.output_shapes[0], dtype=np.int64)) * shared


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the product, accumulated in float64 and rounded once to A's type."""
    a, b = require_input(node, inputs, 0), require_input(node, inputs, 1)
    left = a.astype(np.float64)
    right = b.astype(np.float64)
    left = left.T if get_int(node, "transA", 0) else left
    right = right.T if get_int(node, "transB", 0) else right
    total = get_float(node, "alpha", 1.0) * (left @ right)
    if len(inputs) > 2 and inputs[2] is not None:
        total = total + get_float(node, "beta", 1.0) * inputs[2].astype(np.float64)
    return [total.astype(a.dtype)]


def _integer(
    node: Node, inputs: Sequence[QTensor | Array | None], params: QuantParams, mode: Requantize
) -> list[QTensor]:
    """Returns clamp(rint(f32(acc) * m[c]) + zp_y), as Conv does.

    Raises:
        ModelError: alpha or beta differ from 1.
    """
    if get_float(node, "alpha", 1.0) != 1.0 or get_float(node, "beta", 1.0) != 1.0:
        raise ModelError("an integer Gemm needs alpha = beta = 1", node=node.name)
    x, w = require_input(node, inputs, 0), require_input(node, inputs, 1)
    left = x.values.T if get_int(node, "transA", 0) else x.values
    kind = exact_type(x, w, left.shape[1])
    a, b = centred(x, kind), centred(w, kind)
    a = a.T if get_int(node, "transA", 0) else a
    b = b.T if get_int(node, "transB", 0) else b
    bias = inputs[2] if len(inputs) > 2 else None
    acc = (a @ b).astype(np.int64)
    weight_axis = 0 if get_int(node, "transB", 0) else 1
    return [requantize_channels(node, acc, (x, w, bias), params, 1, weight_axis, mode, is_matrix=True)]


CASES = (
    Case("plain", (normal(3, 16, seed=1), normal(16, 5, seed=2), normal(5, seed=3)), {}, (1, 2)),
    Case(
        "transposed_weights", (normal(3, 16, seed=1), normal(5, 16, seed=4), normal(5, seed=3)), {"transB": 1}, (1, 2)
    ),
    Case("no_bias", (normal(4, 64, seed=5), normal(64, 10, seed=6)), {}, (1,)),
    Case("both_transposed", (normal(16, 3, seed=7), normal(5, 16, seed=4)), {"transA": 1, "transB": 1}, (1,)),
    Case("transposed_input", (normal(16, 3, seed=7), normal(16, 5, seed=8)), {"transA": 1}, (1,)),
)

_FP32, _Q31 = in_both_modes(_integer)

SPEC = Operator(
    op_type="Gemm",
    macs=macs,
    reference=reference,
    quantization=QuantRule.COMPUTE,
    channels=ChannelRule.PRODUCES,
    cases=CASES,
    integer=_FP32,
    integer_q31=_Q31,
    from_tflite={"FULLY_CONNECTED": read_fully_connected},
    to_tflite=write_gemm,
    onnxruntime_int8=True,
)
