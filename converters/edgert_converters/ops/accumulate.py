"""Exact integer accumulation in floating-point matrix products, and requantization per output channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams, multiplier_fp32, multiplier_q31, requantize_fp32, requantize_q31
from edgert_converters.ops.fixed_point import Raw
from edgert_converters.ops.spec import Array, IntegerRule, Node, QTensor
from edgert_converters.requantize import Requantize

__all__ = ["AccumulatingRule", "centred", "exact_type", "in_both_modes", "requantize_channels"]

_LARGEST_REDUCIBLE, _LARGEST_Q15 = 0x7FFF0000, 0x7FFF
_FLOAT32_EXACT = 1 << 24
_FLOAT64_EXACT = 1 << 53


class AccumulatingRule(Protocol):
    """An integer rule of one output that leaves the requantization mode open."""

    def __call__(
        self, node: Node, inputs: Sequence[QTensor | Array | None], params: QuantParams, mode: Requantize
    ) -> list[QTensor]:
        """Returns the output with parameters `params`."""
        ...


def in_both_modes(rule: AccumulatingRule) -> tuple[IntegerRule, IntegerRule]:
    """Returns the rule in `fp32` and in `q31` mode: the same accumulators, requantized one way or the other."""

    def fp32(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
        return rule(node, inputs, outputs[0], Requantize.FP32)

    def q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
        return rule(node, inputs, outputs[0], Requantize.Q31)

    return fp32, q31


def exact_type(x: QTensor, w: QTensor, length: int) -> type[np.floating[Any]]:
    """Returns the smallest float type in which a dot product of `length` centred integers cannot round.

    Every partial sum is an integer below `length * max|x| * max|w|`; float32 holds all integers up to 2^24 and float64
    up to 2^53, so a BLAS product in any order of summation equals the integer sum.

    Raises:
        ValueError: not even float64 is wide enough.
    """
    bound = max(length, 1) * _largest(x) * _largest(w)
    if bound <= _FLOAT32_EXACT:
        return np.float32
    if bound <= _FLOAT64_EXACT:
        return np.float64
    raise ValueError(f"a dot product of length {length} can reach {bound}, beyond 2**53")


def centred(q: QTensor, kind: type[np.floating[Any]]) -> NDArray[Any]:  # Any: float32 or float64
    """Returns q - zero_point as `kind`."""
    result: NDArray[Any] = (q.values.astype(np.int64) - q.params.zero_point_array(q.values.ndim)).astype(kind)
    return result


def requantize_channels(
    node: Node,
    acc: NDArray[np.int64],
    inputs: tuple[QTensor, QTensor, QTensor | Array | None],
    params: QuantParams,
    axis: int,
    weight_axis: int,
    mode: Requantize = Requantize.FP32,
    *,
    is_matrix: bool = False,
) -> QTensor:
    """Returns clamp(rint(f32(acc + bias) * m[c]) + zero_point), or in `q31` mode the fixed-point product.

    Output channels lie on `axis` of `acc` and on `weight_axis` of the weights. `is_matrix`: in `q31` mode the scales of
    matrix products with one weight scale are multiplied in float32, those of convolutions in double precision.

    Raises:
        ModelError: the weights have scales along another axis, or the bias is not int32 with scale s_x * s_w[c] and
            zero point 0.
    """
    x, w, bias = inputs
    if w.params.axis not in {None, weight_axis}:
        raise ModelError(f"weights need scales per output channel (axis {weight_axis})", node=node.name)
    w_scale = np.asarray(w.params.scale, np.float32)
    shape = [1] * acc.ndim
    if axis >= 0 and acc.ndim:
        shape[axis] = -1
    if bias is not None:
        acc = acc + _bias_integers(node, bias, x, w_scale).reshape(shape)
    if mode is Requantize.Q31:
        product = w_scale.astype(np.float64) * np.float64(np.float32(x.params.scale[0]))
        # uint8 models are older than scales per channel: their convolutions take the matrix products' way
        if w_scale.size == 1 and (is_matrix or x.params.dtype is DType.UINT8):
            product = (np.float32(x.params.scale[0]) * w_scale).astype(np.float64)
        fixed, shift = multiplier_q31(product / np.float64(np.float32(params.scale[0])))
        fixed, shift = (part.reshape(shape if part.size > 1 else ()) for part in (fixed, shift))
        # with 16-bit activations the bias is int64 in the file and sums have 64 bits
        rule = requantize_q15 if x.params.dtype is DType.INT16 else requantize_q31
        return QTensor(rule(acc, fixed, shift, params), params)
    multiplier = multiplier_fp32(x.params.scale[0], w_scale, params.scale[0])
    spread = multiplier.reshape(shape) if multiplier.size > 1 else multiplier.reshape(())
    return QTensor(requantize_fp32(acc, spread, params), params)


def requantize_q15(acc: NDArray[np.int64], multiplier: Raw, shift: Raw, params: QuantParams) -> Array:
    """Returns clamp(rounded product + zero_point) with the multiplier cut to 16 bits, as for 64-bit accumulators."""
    reduced = np.where(multiplier < _LARGEST_REDUCIBLE, (multiplier + (1 << 15)) >> 16, _LARGEST_Q15)
    total = 15 - shift
    low, high = params.dtype.integer_range
    scaled = (acc * reduced + (np.int64(1) << (total - 1))) >> total
    result: Array = np.clip(scaled + params.zero_point[0], low, high).astype(params.dtype.numpy)
    return result


def _bias_integers(node: Node, bias: QTensor | Array, x: QTensor, w_scale: NDArray[np.float32]) -> NDArray[np.int64]:
    scale = np.float32(x.params.scale[0]) * w_scale
    if not isinstance(bias, QTensor):
        raise ModelError("the bias of an integer operator must be int32 behind DequantizeLinear", node=node.name)
    found = np.asarray(bias.params.scale, np.float32)
    if any(bias.params.zero_point) or not np.allclose(found, scale, rtol=1e-5, atol=0):
        raise ModelError("the bias must have scale s_x * s_w[c] and zero point 0", node=node.name)
    return bias.values.astype(np.int64).reshape(-1)


def _largest(q: QTensor) -> int:
    low, high = q.params.dtype.integer_range
    return max(max(high - z, z - low) for z in set(q.params.zero_point))
