"""CONV_2D."""

from __future__ import annotations

import math

import numpy as np

from edgert_converters.exporters.c.core import Instructions
from edgert_converters.exporters.c.kernels.channels import (
    Channels,
    find_channels,
    scale_table,
    settle_constant_outputs,
    table_of,
)
from edgert_converters.exporters.c.kernels.mve import conv_mve
from edgert_converters.exporters.c.kernels.packing import can_pack, pack_weights, widened_order
from edgert_converters.exporters.c.kernels.windows import Windows, find_windows
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.tflite.model import TfOperator

__all__ = ["conv_1x1_dsp", "lower_conv"]


def lower_conv(operator: TfOperator, network: Lowering) -> None:
    """Adds a convolution; weights are [outputs, kernel rows, kernel columns, channels / groups]."""
    weights, quant = network.weights(operator, 1)
    windows = find_windows(operator, network, (weights.shape[1], weights.shape[2]))
    groups = windows.x[2] // weights.shape[3]
    flat = weights.reshape(len(weights), -1)
    channels = find_channels(operator, network, flat, quant, is_matrix=False)
    x_zero = network.quant(operator, network.tensor(operator, 0)).zero_point[0]
    call = _call(network.core.instructions, windows, groups, channels, x_zero)
    macs = math.prod(windows.y) * flat.shape[1]
    network.add(operator, call, rows=windows.rows, macs=macs, note=_describe(windows, groups))


def _call(instructions: Instructions, windows: Windows, groups: int, channels: Channels, x_zero: int) -> Call:
    """Returns the call of the fastest kernel that takes the layer."""
    fast = conv_mve(windows, groups, channels, x_zero) if instructions is Instructions.MVE else None
    if fast is not None:
        return fast
    if groups > 1:
        return _conv(windows, groups, channels, x_zero)
    settled = settle_constant_outputs(channels)
    is_pointwise = windows.kernel == windows.strides == (1, 1) and windows.pads == (0, 0)
    if instructions is Instructions.DSP and can_pack(settled):
        if is_pointwise:
            return conv_1x1_dsp(settled, windows.arguments(), windows.y[1])
        return _conv_dsp(windows, settled, x_zero)
    return _conv_1x1(windows, settled) if is_pointwise else _conv_window(windows, settled, x_zero)


def conv_1x1_dsp(channels: Channels, rows: dict[str, int], columns: int) -> Call:
    """Returns a call for `rows["out_rows"]` times `columns` positions that each read their own input channels."""
    terms = channels.weights.shape[1]
    order = widened_order(1, terms)
    arguments = {
        **rows,
        "columns": columns,
        "in_channels": terms,
        "out_channels": len(channels.bias),
        "words": len(order) // 2,
        "y_zero": channels.y_zero,
    }
    constants = (pack_weights(channels, order), scale_table(channels))
    return Call("conv_1x1_dsp", "conv_1x1_dsp", arguments, _ends(channels), constants, scratch_bytes=4 * len(order))


def _conv_dsp(windows: Windows, channels: Channels, x_zero: int) -> Call:
    row_terms = windows.kernel[1] * windows.x[2]
    order = widened_order(windows.kernel[0], row_terms)
    is_by_bytes = windows.x[2] % 4 != 0
    arguments = {
        **windows.arguments(),
        **windows.geometry(),
        "words": len(order) // 2,
        "x_zero": x_zero,
        "y_zero": channels.y_zero,
    }
    return Call(
        "conv_dsp",
        "conv_dsp",
        arguments,
        {**_ends(channels), "is_by_bytes": int(is_by_bytes)},
        (pack_weights(channels, order), scale_table(channels)),
        scratch_bytes=4 * len(order) + (row_terms if is_by_bytes else 0),
    )


def _conv_1x1(windows: Windows, channels: Channels) -> Call:
    outputs, terms = channels.weights.shape
    arguments = {
        **windows.arguments(),
        "columns": windows.y[1],
        "in_channels": terms,
        "out_channels": outputs,
        "y_zero": channels.y_zero,
    }
    return Call("conv_1x1", "conv_1x1", arguments, _ends(channels), (_plain(channels), table_of(channels)))


def _conv_window(windows: Windows, channels: Channels, x_zero: int) -> Call:
    arguments = {**windows.arguments(), **windows.geometry(), "x_zero": x_zero, "y_zero": channels.y_zero}
    constants = (_plain(channels), table_of(channels))
    scratch_bytes = channels.weights.shape[1]
    return Call("conv_window", "conv_window", arguments, _ends(channels), constants, scratch_bytes=scratch_bytes)


def _plain(channels: Channels) -> Constant:
    outputs, terms = channels.weights.shape
    return Constant("weights", "int8_t", np.ascontiguousarray(channels.weights).reshape(-1), f"[{outputs}, {terms}]")


def _conv(windows: Windows, groups: int, channels: Channels, x_zero: int) -> Call:
    literals = {
        **windows.geometry(),
        "groups": groups,
        "x_zero": x_zero,
        "y_zero": channels.y_zero,
        "low": channels.clamp[0],
        "high": channels.clamp[1],
    }
    return Call("conv", "conv", windows.arguments(), literals, (_plain(channels), table_of(channels)))


def _ends(channels: Channels) -> dict[str, int]:
    return {"low": channels.clamp[0], "high": channels.clamp[1], "is_fast": int(channels.is_fast)}


def _describe(windows: Windows, groups: int) -> str:
    if groups == 1:
        return windows.describe()
    return f"{windows.describe()}, {'depthwise' if groups == windows.x[2] else f'{groups} groups'}"
