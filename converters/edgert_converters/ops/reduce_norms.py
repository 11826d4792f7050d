"""ReduceL1, ReduceL2, ReduceSumSquare, ReduceProd, ReduceLogSum and ReduceLogSumExp.

Integer rule: the float function in double precision of s_x * (q - zp_x), then rint(value / s_y) + zp_y. Products and
logarithms of sums stay float: their ranges do not fit 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.reduce import count_inputs, reduced_axes
from edgert_converters.ops.reduce_norms_tflite import NORM_READERS, NORM_WRITERS
from edgert_converters.ops.rules import real_values, round_to_steps
from edgert_converters.ops.samples import ints, normal, positive
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPECS"]

Float64 = NDArray[np.float64]
Norm = Callable[[Float64, tuple[int, ...], bool], Float64]


def norm_1(x: Float64, axes: tuple[int, ...], keep: bool) -> Float64:
    """Returns the sum of |x|."""
    return np.asarray(np.abs(x).sum(axis=axes, keepdims=keep), np.float64)


def norm_2(x: Float64, axes: tuple[int, ...], keep: bool) -> Float64:
    """Returns the square root of the sum of squares."""
    return np.asarray(np.sqrt((x * x).sum(axis=axes, keepdims=keep)), np.float64)


def sum_of_squares(x: Float64, axes: tuple[int, ...], keep: bool) -> Float64:
    """Returns the sum of x * x."""
    return np.asarray((x * x).sum(axis=axes, keepdims=keep), np.float64)


def product(x: Float64, axes: tuple[int, ...], keep: bool) -> Float64:
    """Returns the product; 1 of no values."""
    return np.asarray(x.prod(axis=axes, keepdims=keep), np.float64)


def log_of_sum(x: Float64, axes: tuple[int, ...], keep: bool) -> Float64:
    """Returns log(sum(x)); minus infinity for a sum of zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(x.sum(axis=axes, keepdims=keep)), np.float64)


def log_of_exponentials(x: Float64, axes: tuple[int, ...], keep: bool) -> Float64:
    """Returns log(sum(exp(x))) without overflow; minus infinity of no values."""
    largest = x.max(axis=axes, keepdims=True, initial=-np.inf)
    base = np.where(np.isfinite(largest), largest, 0)
    with np.errstate(divide="ignore", over="ignore"):
        total = np.log(np.exp(x - base).sum(axis=axes, keepdims=True)) + base
    return np.asarray(total if keep else np.squeeze(total, axes), np.float64)


def _operator(op_type: str, norm: Norm, sample: Array, *, quantized: bool) -> Operator:
    def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = require_input(node, inputs, 0)
        keep = get_int(node, "keepdims", 1) == 1
        return [norm(x.astype(np.float64), reduced_axes(node, inputs, x.ndim), keep).astype(x.dtype)]

    def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
        x, params = require_input(node, inputs, 0), outputs[0]
        real = real_values(x)
        axes, keep = reduced_axes(node, inputs, real.ndim), get_int(node, "keepdims", 1) == 1
        return [QTensor(round_to_steps(norm(real, axes, keep), params), params)]

    return Operator(
        op_type=op_type,
        macs=count_inputs,
        reference=reference,
        quantization=QuantRule.OWN if quantized else QuantRule.FLOAT,
        channels=ChannelRule.KEEPS,
        cases=(
            Case("spatial", (sample, ints(2, 3)), {}, (1,)),
            Case("drop_axes", (sample, ints(-1, 1)), {"keepdims": 0}, (1,)),
            Case("all", (sample,)),
        ),
        integer=integer if quantized else None,
    )


_X = normal(2, 3, 4, 5, seed=1)
_POSITIVE = positive(2, 3, 4, 5, seed=2)

SPECS: Final = with_hooks(
    (
        _operator("ReduceL1", norm_1, _X, quantized=True),
        _operator("ReduceL2", norm_2, _X, quantized=True),
        _operator("ReduceLogSum", log_of_sum, _POSITIVE, quantized=False),
        _operator("ReduceLogSumExp", log_of_exponentials, _X, quantized=True),
        _operator("ReduceProd", product, _POSITIVE, quantized=False),
        _operator("ReduceSumSquare", sum_of_squares, _X, quantized=True),
    ),
    NORM_READERS,
    NORM_WRITERS,
)
