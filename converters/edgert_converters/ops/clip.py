"""Clip: limits are attributes up to opset 10 and optional inputs after. Folded like Relu."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import input_or_attribute, require_input
from edgert_converters.ops.clip_tflite import CLIP_READERS, write_clip
from edgert_converters.ops.q31 import clamp_q31
from edgert_converters.ops.rules import elementwise_float32, no_macs
from edgert_converters.ops.samples import normal, scalar
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC", "read_limits"]


def read_limits(node: Node, inputs: Sequence[object]) -> tuple[float, float]:
    """Returns the lower and upper limit; an absent one is infinite."""
    low = input_or_attribute(node, inputs, 1, "min")
    high = input_or_attribute(node, inputs, 2, "max")
    first = -np.inf if low is None else float(low.reshape(-1)[0])
    last = np.inf if high is None else float(high.reshape(-1)[0])
    return first, last


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns min(max(x, low), high)."""
    x = require_input(node, inputs, 0)
    low, high = read_limits(node, inputs)
    result = x
    if low != -np.inf:
        result = np.maximum(result, x.dtype.type(low))
    if high != np.inf:
        result = np.minimum(result, x.dtype.type(high))
    return [result]


_X = normal(2, 3, 5, 7, seed=1, spread=3)
CASES = (
    Case("relu6", (_X, scalar(0), scalar(6)), {}, (1, 2)),
    Case("upper_only", (_X, None, scalar(1.5)), {}, (2,)),
    Case("lower_only", (_X, scalar(-1)), {}, (1,)),
)

SPEC = Operator(
    op_type="Clip",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.CLAMP,
    channels=ChannelRule.KEEPS,
    cases=CASES,
    integer=elementwise_float32(reference),
    integer_q31=clamp_q31(read_limits),
    from_tflite=CLIP_READERS,
    to_tflite=write_clip,
    onnxruntime_int8=False,
)
