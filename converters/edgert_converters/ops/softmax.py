"""Softmax along one axis; up to opset 12 over all axes from `axis` on.

Integer rule: p in double precision from s_x * (q - max q), then y = clamp(rint(p / s_y) + zp_y). The output always has
s_y = 1/256 and the smallest zero point: ONNX Runtime's kernel multiplies by floor(1 / s_y), which is off by up to 1
step at 1/255 and overflows (a confident class becomes 0) for s_y below about 1/2268.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_int, normalise_axis, require_input
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns exp(x - max) / sum, in float64 and rounded once to x's type."""
    x = require_input(node, inputs, 0)
    return [_softmax(node, x.astype(np.float64)).astype(x.dtype)]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the quantized probabilities; see `fixed_output`."""
    x = require_input(node, inputs, 0)
    real = float(np.float32(x.params.scale[0])) * (x.values.astype(np.float64) - x.params.zero_point[0])
    params = outputs[0]
    steps = np.rint(_softmax(node, real) / float(np.float32(params.scale[0]))) + params.zero_point[0]
    low, high = params.dtype.integer_range
    return [QTensor(np.clip(steps, low, high).astype(params.dtype.numpy), params)]


def _softmax(node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
    modern = node.opset >= 13
    axis = normalise_axis(get_int(node, "axis", -1 if modern else 1), x.ndim)
    axes = axis if modern else tuple(range(axis, x.ndim))
    power = np.exp(x - x.max(axis=axes, keepdims=True))
    result: NDArray[np.float64] = power / power.sum(axis=axes, keepdims=True)
    return result


CASES = (
    Case("last_axis", (normal(3, 12, seed=1, spread=3),)),
    Case("channels", (normal(2, 5, 4, seed=2, spread=2),), {"axis": 1}),
)

SPEC = Operator(
    op_type="Softmax",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=integer,
    onnxruntime_int8=True,
    fixed_output=(1 / 256, -128),
    note="ONNX Runtime truncates 1 / s_y to an integer: only the fixed output parameters are exact",
)
