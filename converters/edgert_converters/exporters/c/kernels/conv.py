"""CONV_2D."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams
from edgert_converters.exporters.c.kernels.channels import channel_table
from edgert_converters.exporters.c.kernels.windows import Windows, find_windows
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_conv"]


def lower_conv(operator: TfOperator, network: Lowering) -> None:
    """Adds a convolution; weights are [outputs, kernel rows, kernel columns, channels / groups]."""
    weights, quant = network.weights(operator, 1)
    windows = find_windows(operator, network, (weights.shape[1], weights.shape[2]))
    _add_portable(operator, network, weights, quant, windows)


def _add_portable(
    operator: TfOperator, network: Lowering, weights: NDArray[np.int8], quant: QuantParams, windows: Windows
) -> None:
    y = network.quant(operator, network.result(operator))
    low, high = network.clamp(operator, y)
    groups = windows.x[2] // weights.shape[3]
    literals = {
        "in_columns": windows.x[1],
        "in_channels": windows.x[2],
        "out_columns": windows.y[1],
        "out_channels": windows.y[2],
        "kernel_rows": windows.kernel[0],
        "kernel_columns": windows.kernel[1],
        "stride_rows": windows.strides[0],
        "stride_columns": windows.strides[1],
        "dilation_rows": windows.dilations[0],
        "dilation_columns": windows.dilations[1],
        "pad_left": windows.pads[1],
        "groups": groups,
        "x_zero": network.quant(operator, network.tensor(operator, 0)).zero_point[0],
        "y_zero": y.zero_point[0],
        "low": low,
        "high": high,
    }
    flat = weights.reshape(len(weights), -1)
    constants = (
        Constant("weights", "int8_t", weights.reshape(-1), f"[{', '.join(map(str, weights.shape))}]"),
        channel_table(operator, network, flat, quant, is_matrix=False),
    )
    network.add(
        operator,
        Call("conv", "conv", windows.arguments(), literals, constants),
        rows=windows.rows,
        macs=math.prod(windows.y) * flat.shape[1],
        note=_describe(windows, groups),
    )


def _describe(windows: Windows, groups: int) -> str:
    parts = [f"{windows.kernel[0]}x{windows.kernel[1]}"]
    if windows.strides != (1, 1):
        parts.append(f"stride {windows.strides[0]}x{windows.strides[1]}")
    if windows.dilations != (1, 1):
        parts.append(f"dilation {windows.dilations[0]}x{windows.dilations[1]}")
    if groups > 1:
        parts.append("depthwise" if groups == windows.x[2] else f"{groups} groups")
    return ", ".join(parts)
