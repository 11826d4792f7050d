"""GlobalAveragePool: the mean over all spatial dimensions of each channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import QuantParams
from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.averaging import mean_of_integers, mean_q31
from edgert_converters.ops.reduce_tflite import global_pool_writer
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def macs(node: Node) -> int:
    """Returns one addition per input element."""
    return int(np.prod(node.input_shapes[0] or (0,), dtype=np.int64))


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the mean, summed in float64 and rounded once to x's type."""
    x = require_input(node, inputs, 0)
    axes = tuple(range(2, x.ndim))
    return [x.mean(axis=axes, keepdims=True, dtype=np.float64).astype(x.dtype)]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns rint(f32(acc - n * zp_x) * f32(s_x / f32(s_y * n))) + zp_y."""
    x = require_input(node, inputs, 0)
    axes = tuple(range(2, x.values.ndim))
    acc = (x.values.astype(np.int64) - x.params.zero_point[0]).sum(axis=axes, keepdims=True)
    return [mean_of_integers(acc, int(np.prod(x.values.shape[2:], dtype=np.int64)), x.params, outputs[0])]


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns what TensorFlow Lite's MEAN gives, which the exporter writes."""
    x = require_input(node, inputs, 0)
    axes = tuple(range(2, x.values.ndim))
    acc = (x.values.astype(np.int64) - x.params.zero_point[0]).sum(axis=axes, keepdims=True)
    return [mean_q31(acc, int(np.prod(x.values.shape[2:], dtype=np.int64)), x.params, outputs[0])]


SPEC = Operator(
    op_type="GlobalAveragePool",
    macs=macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.KEEPS,
    cases=(Case("7x7", (normal(2, 40, 7, 7, seed=1),)), Case("1d", (normal(2, 5, 31, seed=2),))),
    integer=integer,
    integer_q31=integer_q31,
    to_tflite=global_pool_writer("MEAN"),
    onnxruntime_int8=True,
)
