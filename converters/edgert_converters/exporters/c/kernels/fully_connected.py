"""FULLY_CONNECTED."""

from __future__ import annotations

import math

from edgert_converters.exporters.c.kernels.channels import channel_table
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_fully_connected"]


def lower_fully_connected(operator: TfOperator, network: Lowering) -> None:
    """Adds a product with constant weights [outputs, terms]."""
    weights, quant = network.weights(operator, 1)
    outputs, depth = weights.shape
    batch = math.prod(network.tensor(operator, 0).shape) // depth
    y = network.quant(operator, network.result(operator))
    low, high = network.clamp(operator, y)
    literals = {"depth": depth, "y_zero": y.zero_point[0], "low": low, "high": high}
    constants = (
        Constant("weights", "int8_t", weights.reshape(-1), f"[{outputs}, {depth}]"),
        channel_table(operator, network, weights, quant, is_matrix=True),
    )
    call = Call("fully_connected", "fully_connected", {"batch": batch, "outputs": outputs}, literals, constants)
    network.add(operator, call, macs=batch * weights.size)
