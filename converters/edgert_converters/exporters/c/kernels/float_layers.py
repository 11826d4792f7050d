"""Layers on floats: convolutions, matrix products, pools, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from edgert_converters.exporters.c.kernels.float_limits import float_limits
from edgert_converters.exporters.c.kernels.windows import find_pool, find_windows
from edgert_converters.exporters.c.literals import float_literal
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.model import TfOperator

__all__ = ["FLOAT_LAYERS"]


def lower_conv_float(operator: TfOperator, network: Lowering) -> None:
    """Adds a convolution; weights are [outputs, kernel rows, kernel columns, channels / groups]."""
    _add_conv(operator, network, network.real_constant(operator, 1))


def lower_depthwise_float(operator: TfOperator, network: Lowering) -> None:
    """Adds a convolution with one group per input channel; its weights lie as [1, rows, columns, outputs]."""
    _add_conv(operator, network, np.ascontiguousarray(np.transpose(network.real_constant(operator, 1), (3, 1, 2, 0))))


def _add_conv(operator: TfOperator, network: Lowering, weights: Array) -> None:
    windows = find_windows(operator, network, (weights.shape[1], weights.shape[2]))
    literals: dict[str, int | str] = {
        **windows.geometry(),
        "groups": windows.x[2] // weights.shape[3],
        **float_limits(operator, network),
    }
    call = Call("conv_float", "float_layers", windows.arguments(), literals, _constants(operator, network, weights))
    network.add(operator, call, rows=windows.rows, macs=math.prod(windows.y) * math.prod(weights.shape[1:]))


def lower_fully_connected_float(operator: TfOperator, network: Lowering) -> None:
    """Adds a product with constant weights [outputs, terms]."""
    weights = network.real_constant(operator, 1)
    outputs, depth = weights.shape
    batch = math.prod(network.tensor(operator, 0).shape) // depth
    literals: dict[str, int | str] = {"depth": depth, **float_limits(operator, network)}
    constants = _constants(operator, network, weights)
    arguments = {"batch": batch, "outputs": outputs}
    call = Call("fully_connected_float", "float_layers", arguments, literals, constants)
    network.add(operator, call, macs=batch * weights.size)


def lower_pool_float(operator: TfOperator, network: Lowering) -> None:
    """Adds the mean or the maximum of windows."""
    windows, literals = find_pool(operator, network)
    literals |= {"is_mean": int(operator.name == "AVERAGE_POOL_2D"), **float_limits(operator, network)}
    network.add(operator, Call("pool_float", "float_layers", windows.arguments(), literals), rows=windows.rows)


def lower_softmax_float(operator: TfOperator, network: Lowering) -> None:
    """Adds a softmax over the last axis."""
    shape = network.tensor(operator, 0).shape
    arguments = {"batch": math.prod(shape) // shape[-1], "depth": shape[-1]}
    beta: dict[str, int | str] = {"beta": float_literal(float(str(operator.options.get("beta", 1.0))))}
    network.add(operator, Call("softmax_float", "float_layers", arguments, beta), overwrites=(0,))


def lower_log_softmax_float(operator: TfOperator, network: Lowering) -> None:
    """Adds the logarithm of a softmax over the last axis."""
    shape = network.tensor(operator, 0).shape
    arguments = {"batch": math.prod(shape) // shape[-1], "depth": shape[-1]}
    network.add(operator, Call("log_softmax_float", "float_math", arguments), overwrites=(0,))


def _constants(operator: TfOperator, network: Lowering, weights: Array) -> tuple[Constant, ...]:
    bias = np.zeros(len(weights), np.float32)
    if network.has_input(operator, 2):
        bias = network.real_constant(operator, 2).reshape(-1)
    shape = ", ".join(map(str, weights.shape))
    return (
        Constant("weights", "float", weights.reshape(-1), f"[{shape}]"),
        Constant("bias", "float", bias, "per output channel"),
    )


FLOAT_LAYERS: Final[dict[str, Callable[[TfOperator, Lowering], None]]] = {
    "AVERAGE_POOL_2D": lower_pool_float,
    "CONV_2D": lower_conv_float,
    "DEPTHWISE_CONV_2D": lower_depthwise_float,
    "FULLY_CONNECTED": lower_fully_connected_float,
    "LOG_SOFTMAX": lower_log_softmax_float,
    "MAX_POOL_2D": lower_pool_float,
    "SOFTMAX": lower_softmax_float,
}
"""By TFLite operator, where its first input is float."""
