"""MatMul with numpy broadcasting; the second factor is a constant (weights) or an activation (attention)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import QuantParams
from edgert_converters.ops.accumulate import centred, exact_type, in_both_modes, requantize_channels
from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.matrix_tflite import read_batch_matmul, write_matmul
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule
from edgert_converters.requantize import Requantize

__all__ = ["SPEC"]


def macs(node: Node) -> int:
    """Returns output elements times the shared dimension."""
    a = node.input_shapes[0]
    return int(np.prod(node.output_shapes[0], dtype=np.int64)) * a[-1] if a else 0


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the product, accumulated in float64 and rounded once to A's type."""
    a, b = require_input(node, inputs, 0), require_input(node, inputs, 1)
    return [np.matmul(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype)]


def _integer(
    node: Node, inputs: Sequence[QTensor | Array | None], params: QuantParams, mode: Requantize
) -> list[QTensor]:
    """Returns clamp(rint(f32(acc) * m[c]) + zp_y); c is the last axis. Both factors may have a zero point."""
    x, w = require_input(node, inputs, 0), require_input(node, inputs, 1)
    kind = exact_type(x, w, x.values.shape[-1])
    acc = np.asarray(np.matmul(centred(x, kind), centred(w, kind))).astype(np.int64)
    axes = acc.ndim - 1, w.values.ndim - 1
    return [requantize_channels(node, acc, (x, w, None), params, *axes, mode, is_matrix=True)]


CASES = (
    Case("weights", (normal(2, 7, 16, seed=1), normal(16, 5, seed=2)), {}, (1,)),
    Case("matrix", (normal(4, 32, seed=3), normal(32, 8, seed=4)), {}, (1,)),
    Case("vector", (normal(32, seed=7), normal(32, 8, seed=4)), {}, (1,)),
    Case("broadcast", (normal(2, 1, 8, 16, seed=8), normal(3, 16, 4, seed=9))),
    Case("two_activations", (normal(2, 3, 8, 16, seed=5), normal(2, 3, 16, 4, seed=6))),
)

_FP32, _Q31 = in_both_modes(_integer)

SPEC = Operator(
    op_type="MatMul",
    macs=macs,
    reference=reference,
    quantization=QuantRule.COMPUTE,
    channels=ChannelRule.PRODUCES,
    cases=CASES,
    integer=_FP32,
    integer_q31=_Q31,
    from_tflite={"BATCH_MATMUL": read_batch_matmul},
    to_tflite=write_matmul,
    onnxruntime_int8=True,
)
