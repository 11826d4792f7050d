"""TRANSPOSE_CONV: each input pixel adds a scaled kernel to the output, computed output by output."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgert.dtypes import DType
from edgert_converters.exporters.c.kernels.channels import Channels, find_channels, table_of
from edgert_converters.exporters.c.kernels.float_limits import float_limits
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_transpose_conv"]

_SAME = 0
_LARGEST_SUM = (1 << 31) - 1


def lower_transpose_conv(operator: TfOperator, network: Lowering) -> None:
    """Adds a transposed convolution of int8 or of floats; weights are [outputs, kernel rows, kernel columns, inputs].

    Raises:
        ModelError: the types have no kernel, or sums can leave 32 bits.
    """
    plain = replace(operator, inputs=(operator.inputs[2], operator.inputs[1], *operator.inputs[3:]))
    kernel = network.tensor(plain, 1).shape[1:3]
    literals = _geometry(plain, network, (kernel[0], kernel[1]))
    kind = network.tensor(plain, 0).dtype
    if kind is DType.FLOAT:
        call = _float_call(plain, network, literals)
    elif kind is DType.INT8:
        call = _int8_call(plain, network, literals)
    else:
        raise network.refusal(operator, "there is a kernel for it on int8 and on float only")
    macs = math.prod(network.tensor(plain, 0).shape[1:]) * math.prod(network.tensor(plain, 1).shape[:3])
    network.add(plain, call, macs=macs, is_sample=True)


def _geometry(operator: TfOperator, network: Lowering, kernel: tuple[int, int]) -> dict[str, int | str]:
    x, y = network.tensor(operator, 0).shape, network.result(operator).shape
    strides = (network.option(operator, "stride_h"), network.option(operator, "stride_w"))
    is_same = network.option(operator, "padding") == _SAME
    pads = [max((x[i + 1] - 1) * strides[i] + kernel[i] - y[i + 1], 0) // 2 if is_same else 0 for i in range(2)]
    return {
        "in_rows": x[1],
        "in_columns": x[2],
        "in_channels": x[3],
        "out_rows": y[1],
        "out_columns": y[2],
        "out_channels": y[3],
        "kernel_rows": kernel[0],
        "kernel_columns": kernel[1],
        "stride_rows": strides[0],
        "stride_columns": strides[1],
        "pad_top": pads[0],
        "pad_left": pads[1],
    }


def _int8_call(operator: TfOperator, network: Lowering, literals: dict[str, int | str]) -> Call:
    stored, quant = network.weights(operator, 1)
    flat = stored.reshape(len(stored), -1)
    folded = find_channels(operator, network, flat, quant, is_matrix=False)
    x_zero = network.quant(operator, network.tensor(operator, 0)).zero_point[0]
    channels = _unfolded(folded, x_zero)
    if (np.abs(channels.bias) + 255 * np.abs(flat.astype(np.int64)).sum(axis=1)).max(initial=0) > _LARGEST_SUM:
        raise network.refusal(operator, "its sums can leave 32 bits")
    ends = {"x_zero": x_zero, "y_zero": channels.y_zero, "low": channels.clamp[0], "high": channels.clamp[1]}
    weights = Constant("weights", "int8_t", flat.reshape(-1), f"[{', '.join(map(str, stored.shape))}]")
    constants = (weights, table_of(channels))
    return Call("transpose_conv", "transpose_conv", {}, {**literals, **ends}, constants)


def _unfolded(channels: Channels, x_zero: int) -> Channels:
    """The bias without the input's zero point: how many weights meet an input differs from output to output."""
    return replace(channels, bias=channels.bias + x_zero * channels.weights.astype(np.int64).sum(axis=1))


def _float_call(operator: TfOperator, network: Lowering, literals: dict[str, int | str]) -> Call:
    stored = network.real_constant(operator, 1)
    bias = np.zeros(len(stored), np.float32)
    if network.has_input(operator, 2):
        bias = network.real_constant(operator, 2).reshape(-1)
    constants = (
        Constant("weights", "float", stored.reshape(-1), f"[{', '.join(map(str, stored.shape))}]"),
        Constant("bias", "float", bias, "per output channel"),
    )
    limits = float_limits(operator, network)
    return Call("transpose_conv_float", "transpose_conv_float", {}, {**literals, **limits}, constants)
