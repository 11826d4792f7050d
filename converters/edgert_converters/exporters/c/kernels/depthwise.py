"""DEPTHWISE_CONV_2D: every input channel has weights of its own."""

from __future__ import annotations

import math

import numpy as np

from edgert_converters.exporters.c.kernels.channels import channel_table
from edgert_converters.exporters.c.kernels.windows import Windows, find_windows
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_depthwise_conv"]


def lower_depthwise_conv(operator: TfOperator, network: Lowering) -> None:
    """Adds a convolution with one group per input channel; its weights lie as [1, rows, columns, outputs]."""
    stored, quant = network.weights(operator, 1)
    weights = np.ascontiguousarray(np.transpose(stored, (3, 1, 2, 0)))
    windows = find_windows(operator, network, (weights.shape[1], weights.shape[2]))
    flat = weights.reshape(len(weights), -1)
    constants = (
        Constant("weights", "int8_t", weights.reshape(-1), f"[{', '.join(map(str, weights.shape))}]"),
        channel_table(operator, network, flat, quant, is_matrix=False),
    )
    literals = _literals(operator, network, windows)
    network.add(
        operator,
        Call("conv", "conv", windows.arguments(), literals, constants),
        rows=windows.rows,
        macs=math.prod(windows.y) * flat.shape[1],
        note=_describe(windows),
    )


def _literals(operator: TfOperator, network: Lowering, windows: Windows) -> dict[str, int | str]:
    y = network.quant(operator, network.result(operator))
    low, high = network.clamp(operator, y)
    return {
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
        "groups": windows.x[2],
        "x_zero": network.quant(operator, network.tensor(operator, 0)).zero_point[0],
        "y_zero": y.zero_point[0],
        "low": low,
        "high": high,
    }


def _describe(windows: Windows) -> str:
    parts = [f"{windows.kernel[0]}x{windows.kernel[1]}"]
    if windows.strides != (1, 1):
        parts.append(f"stride {windows.strides[0]}x{windows.strides[1]}")
    if windows.dilations != (1, 1):
        parts.append(f"dilation {windows.dilations[0]}x{windows.dilations[1]}")
    return ", ".join(parts)
