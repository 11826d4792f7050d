"""FULLY_CONNECTED."""

from __future__ import annotations

import math

from edgert_converters.exporters.c.core import Instructions
from edgert_converters.exporters.c.kernels.channels import (
    Channels,
    find_channels,
    scale_table,
    settle_constant_outputs,
    table_of,
)
from edgert_converters.exporters.c.kernels.conv import conv_1x1_dsp
from edgert_converters.exporters.c.kernels.mve import fully_connected_mve
from edgert_converters.exporters.c.kernels.packing import bytes_order, can_pack, pack_weights
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_fully_connected"]


def lower_fully_connected(operator: TfOperator, network: Lowering) -> None:
    """Adds a product with constant weights [outputs, terms]."""
    weights, quant = network.weights(operator, 1)
    batch = math.prod(network.tensor(operator, 0).shape) // weights.shape[1]
    channels = find_channels(operator, network, weights, quant, is_matrix=True)
    network.add(operator, _call(network.core.instructions, batch, channels), macs=batch * weights.size)


def _call(instructions: Instructions, batch: int, channels: Channels) -> Call:
    """Returns the call of the fastest kernel that takes the layer."""
    lanes = fully_connected_mve(batch, channels) if instructions is Instructions.MVE else None
    if lanes is not None:
        return lanes
    settled = settle_constant_outputs(channels)
    if instructions is not Instructions.DSP or not can_pack(settled):
        return _fully_connected(batch, settled)
    if batch > 1:
        return conv_1x1_dsp(settled, {"in_rows": batch, "out_rows": batch, "pad_top": 0}, 1)
    return _fully_connected_dsp(settled)


def _fully_connected(batch: int, channels: Channels) -> Call:
    outputs, depth = channels.weights.shape
    weights = Constant("weights", "int8_t", channels.weights.reshape(-1), f"[{outputs}, {depth}]")
    arguments = {"batch": batch, "outputs": outputs, "depth": depth, "y_zero": channels.y_zero}
    constants = (weights, table_of(channels))
    return Call("fully_connected", "fully_connected", arguments, _ends(channels), constants)


def _fully_connected_dsp(channels: Channels) -> Call:
    outputs, depth = channels.weights.shape
    scales = scale_table(channels, may_share=True)
    arguments = {
        "depth": depth,
        "outputs": outputs,
        "y_zero": channels.y_zero,
        "scale_step": int(len(scales.values) > 1),
    }
    constants = (pack_weights(channels, bytes_order(depth)), scales)
    return Call("fully_connected_dsp", "fully_connected_dsp", arguments, _ends(channels), constants)


def _ends(channels: Channels) -> dict[str, int]:
    return {"low": channels.clamp[0], "high": channels.clamp[1], "is_fast": int(channels.is_fast)}
