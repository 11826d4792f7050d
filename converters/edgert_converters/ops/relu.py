"""Relu. Folded into its producer's output range where that is quantized; alone it is max(0, x) in float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.clip_tflite import RELU_READERS, write_relu
from edgert_converters.ops.q31 import clamp_q31
from edgert_converters.ops.rules import elementwise_float32, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns max(0, x)."""
    x = require_input(node, inputs, 0)
    return [np.maximum(x, x.dtype.type(0))]


SPEC = Operator(
    op_type="Relu",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.CLAMP,
    channels=ChannelRule.KEEPS,
    cases=(Case("plain", (normal(2, 3, 5, 7, seed=1),)),),
    integer=elementwise_float32(reference),
    integer_q31=clamp_q31(lambda _node, _inputs: (0.0, np.inf)),
    from_tflite=RELU_READERS,
    to_tflite=write_relu,
    onnxruntime_int8=False,
)
