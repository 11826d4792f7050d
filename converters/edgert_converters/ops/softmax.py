"""Softmax along one axis; up to opset 12 over all axes from `axis` on.

Integer rule: p in double precision from s_x * (q - max q), then y = clamp(rint(p / s_y) + zp_y). The output always has
s_y = 1/256 and the smallest zero point: ONNX Runtime's kernel multiplies by floor(1 / s_y), which is off by up to 1
step at 1/255 and overflows (a confident class becomes 0) for s_y below about 1/2268.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_int, normalise_axis, require_input
from edgert_converters.ops.fixed_point import divide_by_power, exp_negative, high_multiply, reciprocal, rescale
from edgert_converters.ops.fixed_point_int16 import softmax_int16
from edgert_converters.ops.q31 import DIFFERENCE_BITS, SUM_BITS, scale_of, scaled_differences
from edgert_converters.ops.rules import double_precision_rule, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.softmax_tflite import read_softmax, softmax_writer
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns exp(x - max) / sum, in float64 and rounded once to x's type."""
    x = require_input(node, inputs, 0)
    return [_softmax(node, x.astype(np.float64)).astype(x.dtype)]


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns what SOFTMAX gives: exponentials of differences in Q5, their sum in Q12, one reciprocal.

    Its 8-bit output is fixed to scale 1 / 256 and the smallest zero point; another one takes the float rule.
    """
    x, params = require_input(node, inputs, 0), outputs[0]
    low, high = params.dtype.integer_range
    if x.params.dtype is params.dtype is DType.INT16 and params.scale[0] == 1 / 32768 and node.opset >= 13:
        axis = _axes(node, x.values.ndim)[0]
        wide = x.values.astype(np.int64)
        steps = softmax_int16(wide - wide.max(axis=axis, keepdims=True), scale_of(x.params), axis)
        return [QTensor(steps.astype(np.int16), params)]
    if (params.scale[0], params.zero_point[0]) != (1 / 256, low) or x.params.dtype.itemsize_bytes != 1:
        return integer(node, inputs, outputs)
    axes = _axes(node, x.values.ndim)
    values = x.values.astype(np.int64)
    raw, taken = scaled_differences(values - values.max(axis=axes, keepdims=True), scale_of(x.params))
    power = exp_negative(raw, DIFFERENCE_BITS)
    total = np.where(taken, rescale(power, 0, SUM_BITS), 0).sum(axis=axes, keepdims=True)
    inverse, bits = reciprocal(total, SUM_BITS)
    steps = divide_by_power(high_multiply(power, inverse), bits + 31 - 8) + low
    return [QTensor(np.where(taken, np.clip(steps, low, high), low).astype(params.dtype.numpy), params)]


def _softmax(node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
    axes = _axes(node, x.ndim)
    power = np.exp(x - x.max(axis=axes, keepdims=True))
    result: NDArray[np.float64] = power / power.sum(axis=axes, keepdims=True)
    return result


def _axes(node: Node, rank: int) -> tuple[int, ...]:
    modern = node.opset >= 13
    axis = normalise_axis(get_int(node, "axis", -1 if modern else 1), rank)
    return (axis,) if modern else tuple(range(axis, rank))


integer = double_precision_rule(_softmax)

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
    integer_q31=integer_q31,
    from_tflite={"SOFTMAX": read_softmax},
    to_tflite=softmax_writer("SOFTMAX"),
    onnxruntime_int8=True,
    fixed_output=(1 / 256, -128),
    note="ONNX Runtime truncates 1 / s_y to an integer: only the fixed output parameters are exact",
)
