"""Constants of a layer with weights: the table that says, per output channel, how sums become output integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams, multiplier_fp32, multiplier_q31
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Constant
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator

__all__ = ["channel_table", "largest_sum"]

_LARGEST_SUM = (1 << 31) - 1
_LARGEST_RESULT = 1 << 22


def channel_table(
    operator: TfOperator, network: Lowering, weights: NDArray[np.int8], weight_quant: QuantParams, *, is_matrix: bool
) -> Constant:
    """Returns bias and multiplier of every output channel, the input's zero point folded into the bias.

    Args:
        operator: reads the input, the weights and, where it has one, the bias.
        network: the network under construction.
        weights: int8[outputs, terms]: row o is everything that channel o sums over.
        weight_quant: of the weights, per channel or with one scale for all.
        is_matrix: a fully connected layer, whose scales `q31` multiplies in float32 where there is one weight scale.

    Raises:
        ModelError: sums or results can leave the range in which the C code is exact.
    """
    x, y = network.quant(operator, network.tensor(operator, 0)), network.quant(operator, network.result(operator))
    sums = weights.astype(np.int64).sum(axis=1)
    bias = np.zeros(len(weights), np.int64)
    if network.has_input(operator, 2):
        bias = network.constant(operator, 2).astype(np.int64).reshape(-1)
    folded = bias - x.zero_point[0] * sums
    if largest_sum(weights, folded).max(initial=0) > _LARGEST_SUM:
        raise network.refusal(operator, "its sums can leave 32 bits")
    scale = np.broadcast_to(np.asarray(weight_quant.scale, np.float32), len(weights))
    if network.mode is Requantize.Q31:
        return _q31(operator, network, folded, _real_scales(x, scale, y, is_matrix and len(weight_quant.scale) == 1))
    multiplier = multiplier_fp32(x.scale[0], scale, y.scale[0])
    if float((largest_sum(weights, folded) * multiplier.astype(np.float64)).max(initial=0)) >= _LARGEST_RESULT:
        raise network.refusal(operator, "its results can reach 2^22 steps of the output")
    rows = np.empty(len(weights), [("bias", "<i4"), ("multiplier", "<f4")])
    rows["bias"], rows["multiplier"] = folded, multiplier
    return Constant("channels", "edgert_channel_t", rows, "bias, multiplier")


def largest_sum(weights: NDArray[np.int8], folded: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns how far from zero each channel's sum, and every partial sum of it, can come for any int8 input."""
    magnitude: NDArray[np.int64] = np.abs(folded) + 128 * np.abs(weights.astype(np.int64)).sum(axis=1)
    return magnitude


def _real_scales(x: QuantParams, w: NDArray[np.float32], y: QuantParams, in_float32: bool) -> NDArray[np.float64]:
    product = w.astype(np.float64) * np.float64(np.float32(x.scale[0]))
    if in_float32:
        product = (np.float32(x.scale[0]) * w).astype(np.float64)
    result: NDArray[np.float64] = product / np.float64(np.float32(y.scale[0]))
    return result


def _q31(operator: TfOperator, network: Lowering, bias: NDArray[np.int64], real: NDArray[np.float64]) -> Constant:
    fixed, shift = multiplier_q31(real)
    if shift.max(initial=0) > 0:
        raise network.refusal(operator, "its output is finer than its sums (a multiplier above 1)")
    rows = np.empty(len(bias), [("bias", "<i4"), ("multiplier", "<i4"), ("shift", "<i4")])
    rows["bias"], rows["multiplier"], rows["shift"] = bias, fixed, shift
    return Constant("channels", "edgert_channel_t", rows, "bias, multiplier, shift")
