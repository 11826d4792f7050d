"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED with int16 activations and int8 weights, summed in 64 bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.quant import QuantParams, multiplier_fp32, multiplier_q31
from edgert_converters.exporters.c.kernels.windows import find_windows
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator

__all__ = ["WIDE_LAYERS"]

_LARGEST_SUM: Final = 1 << 47
_LARGEST_REDUCIBLE: Final = 0x7FFF0000
_MOST_SHIFT: Final = 62


def lower_conv_wide(operator: TfOperator, network: Lowering) -> None:
    """Adds a convolution; weights are [outputs, kernel rows, kernel columns, channels / groups]."""
    weights, quant = network.weights(operator, 1)
    _add_conv(operator, network, weights, quant)


def lower_depthwise_wide(operator: TfOperator, network: Lowering) -> None:
    """Adds a convolution with one group per input channel; its weights lie as [1, rows, columns, outputs]."""
    weights, quant = network.weights(operator, 1)
    _add_conv(operator, network, np.ascontiguousarray(np.transpose(weights, (3, 1, 2, 0))), quant)


def lower_fully_connected_wide(operator: TfOperator, network: Lowering) -> None:
    """Adds a product with constant weights [outputs, terms]."""
    weights, quant = network.weights(operator, 1)
    batch = math.prod(network.tensor(operator, 0).shape) // weights.shape[1]
    constants, limits = _channels(operator, network, weights, quant, is_matrix=True)
    arguments = {"batch": batch, "outputs": len(weights), "depth": weights.shape[1]}
    network.add(operator, Call("fully_connected_wide", "wide", arguments, limits, constants), macs=batch * weights.size)


def _add_conv(operator: TfOperator, network: Lowering, weights: NDArray[np.int8], quant: QuantParams) -> None:
    windows = find_windows(operator, network, (weights.shape[1], weights.shape[2]))
    constants, limits = _channels(operator, network, weights, quant, is_matrix=False)
    literals: dict[str, int | str] = {
        **windows.geometry(),
        "groups": windows.x[2] // weights.shape[3],
        **limits,
    }
    call = Call("conv_wide", "wide", windows.arguments(), literals, constants)
    network.add(operator, call, rows=windows.rows, macs=math.prod(windows.y) * math.prod(weights.shape[1:]))


def _channels(
    operator: TfOperator, network: Lowering, weights: NDArray[np.int8], quant: QuantParams, *, is_matrix: bool
) -> tuple[tuple[Constant, ...], dict[str, int | str]]:
    """Returns weights and `edgert_wide_t` per output channel, and the limits.

    Raises:
        ModelError: a zero point is not 0, or the output is much finer than the sums.
    """
    x, y = (
        network.quant(operator, tensor, DType.INT16)
        for tensor in (network.tensor(operator, 0), network.result(operator))
    )
    if x.zero_point[0] or y.zero_point[0]:
        raise network.refusal(operator, "activations of 16 bits have the zero point 0 in C")
    bias = np.zeros(len(weights), np.int64)
    if network.has_input(operator, 2):
        bias = network.constant(operator, 2).astype(np.int64).reshape(-1)
    sums = np.abs(bias) + 32768 * np.abs(weights.reshape(len(weights), -1).astype(np.int64)).sum(axis=1)
    if sums.max(initial=0) > _LARGEST_SUM:
        raise network.refusal(operator, "its sums can leave 48 bits")
    scale = np.broadcast_to(np.asarray(quant.scale, np.float32), len(weights))
    low, high = network.clamp(operator, y)
    table = _table(operator, network, bias, (x, scale, y), in_float32=is_matrix and len(quant.scale) == 1)
    stored = Constant("weights", "int8_t", weights.reshape(-1), f"[{', '.join(map(str, weights.shape))}]")
    return (stored, table), {"low": low, "high": high}


def _table(
    operator: TfOperator,
    network: Lowering,
    bias: NDArray[np.int64],
    scales: tuple[QuantParams, NDArray[np.float32], QuantParams],
    *,
    in_float32: bool,
) -> Constant:
    x, w, y = scales
    if network.mode is Requantize.FP32:
        rows = np.empty(len(bias), [("bias", "<i8"), ("multiplier", "<f4")])
        rows["bias"], rows["multiplier"] = bias, multiplier_fp32(x.scale[0], w, y.scale[0])
        return Constant("channels", "edgert_wide_t", rows, "bias, multiplier")
    product = w.astype(np.float64) * np.float64(np.float32(x.scale[0]))
    if in_float32:
        product = (np.float32(x.scale[0]) * w).astype(np.float64)
    fixed, shift = multiplier_q31(product / np.float64(np.float32(y.scale[0])))
    right = 15 - shift.astype(np.int64)
    if right.min(initial=1) < 1 or right.max(initial=1) > _MOST_SHIFT:
        raise network.refusal(operator, "the scales of its input, weights and output are too far apart")
    rows = np.empty(len(bias), [("bias", "<i8"), ("multiplier", "<i4"), ("shift", "<i4")])
    rows["bias"], rows["shift"] = bias, right
    rows["multiplier"] = np.where(fixed < _LARGEST_REDUCIBLE, (fixed + (1 << 15)) >> 16, 0x7FFF)
    return Constant("channels", "edgert_wide_t", rows, "bias, multiplier, shift")


WIDE_LAYERS: Final[dict[str, Callable[[TfOperator, Lowering], None]]] = {
    "CONV_2D": lower_conv_wide,
    "DEPTHWISE_CONV_2D": lower_depthwise_wide,
    "FULLY_CONNECTED": lower_fully_connected_wide,
}
"""By TFLite operator, where its first input is int16."""
