"""Weights and biases as integers: int8 symmetric per output channel, int32 bias with scale s_x * s_w[c]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.quant import QuantParams, quantize

__all__ = ["QuantizedWeights", "output_channel_axis", "quantize_weights"]

_BIAS_LIMIT = 2.0**30
"""Half of the int32 range: the other half is left to the products, which stay far below it."""
_ZERO_CHANNEL_STEPS = 2.0**20
"""Bias resolution of a channel whose weights are all zero: its scale is free, so the bias may be nearly exact."""


@dataclass(frozen=True, slots=True)
class QuantizedWeights:
    """int8 weights in the shape of the float ones, and the int32 bias [C] where there was one."""

    weight: NDArray[np.int8]
    weight_params: QuantParams
    bias: NDArray[np.int32] | None
    bias_params: QuantParams | None


def output_channel_axis(op_type: str, rank: int, transposed: bool) -> int | None:
    """Returns the axis of the weight tensor that runs over output channels; None: per tensor.

    `transposed` is Gemm's transB. Conv weights are [M, C/group, ...], ConvTranspose [C, M/group, ...], Gemm [K, N] or
    [N, K], MatMul [K, N]. A batched MatMul operand has no one channel axis.
    """
    if op_type == "Conv":
        return 0
    if op_type == "ConvTranspose":
        return 1
    if op_type == "Gemm":
        return 0 if transposed else 1
    return 1 if rank == 2 else None


def quantize_weights(
    weight: NDArray[np.float32],
    axis: int | None,
    x_scale: float,
    bias: NDArray[np.float32] | None,
    largest: int = 127,
    scale: NDArray[np.float64] | None = None,
) -> QuantizedWeights:
    """Returns integers for one weighted operator.

    Args:
        weight: float weights.
        axis: output channel axis, None for one scale in all.
        x_scale: scale of the operator's input activation.
        bias: float[C] or None; C is a multiple of the scales' number where groups share them (ConvTranspose).
        largest: largest integer of a weight, 127 (8 bits) or 7 (4 bits); always stored in int8.
        scale: one entry per channel (one in all where `axis` is None); None: the largest magnitude is `largest`.

    A scale is raised where the bias would not fit into int32; rounding is half to even.
    """
    scale = _weight_scale(weight, axis, largest) if scale is None else scale
    if bias is not None:
        magnitude = np.abs(bias.astype(np.float64))
        if axis is not None:
            magnitude = magnitude.reshape(-1, scale.size).max(axis=0)
        needed = magnitude / (x_scale * _BIAS_LIMIT)
        free = np.where(magnitude > 0, magnitude / (x_scale * _ZERO_CHANNEL_STEPS), 1.0)
        scale = np.where(np.isnan(scale), free, np.maximum(scale, needed if axis is not None else needed.max()))
        scale = scale if axis is not None else scale[:1]
    scale32 = np.nan_to_num(scale, nan=1.0).astype(np.float32)
    zeros = (0,) * scale32.size
    weight_params = QuantParams(tuple(scale32.tolist()), zeros, DType.INT8, axis)
    integers = np.clip(quantize(weight, weight_params), -largest, largest).astype(np.int8)
    if bias is None:
        return QuantizedWeights(integers, weight_params, None, None)
    shared = axis is None  # XNNPACK refuses a bias with a scale per channel where the weights have one in all
    bias_scale = np.resize(np.float32(x_scale) * scale32, (1,) if shared else bias.shape)
    limits = np.iinfo(np.int32)
    int_bias = np.clip(np.rint(bias.astype(np.float64) / bias_scale), limits.min, limits.max).astype(np.int32)
    bias_zeros = (0,) * bias_scale.size
    bias_params = QuantParams(tuple(bias_scale.tolist()), bias_zeros, DType.INT32, None if shared else 0)
    return QuantizedWeights(integers, weight_params, int_bias, bias_params)


def _weight_scale(weight: NDArray[np.float32], axis: int | None, limit: int) -> NDArray[np.float64]:
    """Largest magnitude over `limit` per channel (one entry where `axis` is None); NaN where all weights are zero."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.abs(weight).max(axis=None if axis is None else others).astype(np.float64).reshape(-1)
    scale: NDArray[np.float64] = np.where(largest > 0, largest / limit, np.nan)
    return scale
