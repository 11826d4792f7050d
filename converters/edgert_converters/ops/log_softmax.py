"""LogSoftmax and Hardmax along one axis; up to opset 12 over all axes from `axis` on.

Integer rule of LogSoftmax: in double precision from s_x * (q - max q), then y = clamp(rint(log p / s_y) + zp_y).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_int, normalise_axis, require_input
from edgert_converters.ops.fixed_point import divide_by_power, exp_negative, log_above_one, rescale
from edgert_converters.ops.q31 import DIFFERENCE_BITS, SUM_BITS, scale_of, scaled_differences
from edgert_converters.ops.rules import double_precision_rule, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.softmax_tflite import read_log_softmax, softmax_writer
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPECS"]


def log_softmax(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x - max - log(sum(exp(x - max))), in float64 and rounded once to x's type."""
    x = require_input(node, inputs, 0)
    return [_log_softmax(node, x.astype(np.float64)).astype(x.dtype)]


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns what LOG_SOFTMAX gives: exponentials in Q5, their sum in Q12, a fixed-point logarithm.

    Its output is fixed to scale 1 / 16 and zero point 127; another one takes the float rule.
    """
    x, params = require_input(node, inputs, 0), outputs[0]
    low, high = params.dtype.integer_range
    if (params.scale[0], params.zero_point[0]) != (1 / 16, high) or x.params.dtype.itemsize_bytes != 1:
        return integer(node, inputs, outputs)
    rows, axis = _rows(node, x.values.astype(np.int64))
    differences = rows - rows.max(axis=axis, keepdims=True)
    raw, taken = scaled_differences(differences, scale_of(x.params))
    power = rescale(exp_negative(raw, DIFFERENCE_BITS), 0, SUM_BITS)
    total = np.where(taken, power, 0).sum(axis=axis, keepdims=True)
    logarithm = log_above_one(total, SUM_BITS, DIFFERENCE_BITS)
    steps = divide_by_power(raw - logarithm, 31 - DIFFERENCE_BITS - 4) + high
    # what would leave Q5 together with the logarithm is the smallest integer
    taken &= raw - logarithm > -(1 << 31)
    result = np.where(taken, np.clip(steps, low, high), low).astype(params.dtype.numpy)
    return [QTensor(result.reshape(x.values.shape), params)]


def hardmax(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns 1 at the first largest value and 0 elsewhere."""
    x = require_input(node, inputs, 0)
    rows, axis = _rows(node, x)
    largest = np.expand_dims(rows.argmax(axis=axis), axis)
    chosen = np.arange(rows.shape[axis]).reshape([-1 if a == axis else 1 for a in range(rows.ndim)]) == largest
    return [chosen.astype(x.dtype).reshape(x.shape)]


def _rows(node: Node, x: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Returns x and the axis to work along; before opset 13 the axes from `axis` on are one."""
    if node.opset >= 13:
        return x, normalise_axis(get_int(node, "axis", -1), x.ndim)
    axis = normalise_axis(get_int(node, "axis", 1), x.ndim)
    return x.reshape(*x.shape[:axis], -1), axis


def _log_softmax(node: Node, x: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, axis = _rows(node, x)
    shifted = rows - rows.max(axis=axis, keepdims=True)
    result: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return result.reshape(x.shape)


integer = double_precision_rule(_log_softmax)

_CASES = (
    Case("last_axis", (normal(3, 12, seed=1, spread=3),)),
    Case("channels", (normal(2, 5, 4, seed=2, spread=2),), {"axis": 1}),
)

SPECS: Final = (
    Operator(
        op_type="LogSoftmax",
        macs=no_macs,
        reference=log_softmax,
        quantization=QuantRule.OWN,
        channels=ChannelRule.BREAKS,
        cases=_CASES,
        integer=integer,
        integer_q31=integer_q31,
        from_tflite={"LOG_SOFTMAX": read_log_softmax},
        to_tflite=softmax_writer("LOG_SOFTMAX"),
    ),
    Operator(
        op_type="Hardmax",
        macs=no_macs,
        reference=hardmax,
        quantization=QuantRule.FLOAT,
        channels=ChannelRule.BREAKS,
        cases=_CASES,
    ),
)
