"""MEAN and SOFTMAX of int16."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Final

import numpy as np

from edgert.dtypes import DType
from edgert.quant import multiplier_q31
from edgert_converters.exporters.c.literals import float_literal
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator

__all__ = ["WIDE_REST"]

_MOST_ELEMENTS: Final = 1 << 15
_STEPS: Final = 256
_UNIT: Final = 1 / 32768


def lower_mean_wide(operator: TfOperator, network: Lowering) -> None:
    """Adds the mean of int16 over neighbouring axes.

    Raises:
        ModelError: the axes are no neighbours, or sums can leave 32 bits.
    """
    shape = network.tensor(operator, 0).shape
    x = network.quant(operator, network.tensor(operator, 0), DType.INT16)
    y = network.quant(operator, network.result(operator), DType.INT16)
    axes = sorted({int(axis) % len(shape) for axis in network.constant(operator, 1).reshape(-1)})
    length = math.prod(shape[axis] for axis in axes)
    if axes != list(range(axes[0], axes[-1] + 1)) or length > _MOST_ELEMENTS or x.zero_point[0] or y.zero_point[0]:
        raise network.refusal(operator, "of int16 it takes neighbouring axes of 2^15 elements and zero points of 0")
    arguments = {"batch": math.prod(shape[: axes[0]]), "length": length, "depth": math.prod(shape[axes[-1] + 1 :])}
    literals: dict[str, int | str]
    if network.mode is Requantize.FP32:
        multiplier = np.float32(x.scale[0]) / (np.float32(y.scale[0]) * np.float32(length))
        literals = {"multiplier": float_literal(multiplier)}
    else:
        fixed, shift = multiplier_q31(np.float64(np.float32(x.scale[0])) / np.float64(np.float32(y.scale[0])))
        bits = min(length.bit_length() - 1, 32, 31 + int(shift))
        literals = {"multiplier": (int(fixed) << bits) // length, "shift": int(shift) - bits}
        if length << (15 + max(int(shift) - bits, 0)) >= 1 << 31:
            raise network.refusal(operator, "its sums can leave 32 bits")
    network.add(operator, Call("mean_wide", "wide", arguments, literals))


def lower_softmax_wide(operator: TfOperator, network: Lowering) -> None:
    """Adds a softmax of int16 over the last axis, as that of int8 with longer tables.

    Raises:
        ModelError: beta is not 1, the output has another scale than 1/32768, or the mode is `q31`.
    """
    tensor = network.tensor(operator, 0)
    x = network.quant(operator, tensor, DType.INT16)
    y = network.quant(operator, network.result(operator), DType.INT16)
    is_plain = (y.scale[0], y.zero_point[0]) == (_UNIT, 0) and operator.options.get("beta", 1.0) in {0.0, 1.0}
    if not is_plain or network.mode is not Requantize.FP32:
        raise network.refusal(operator, "of int16 it takes an output of scale 1/32768, beta 1 and fp32 requantization")
    depth = tensor.shape[-1]
    arguments = {
        "batch": math.prod(tensor.shape) // depth,
        "depth": depth,
        "drop": max(depth.bit_length() - 3, 1),
    }
    steps = np.concatenate([_STEPS * np.arange(_STEPS), np.arange(_STEPS)]).astype(np.float64)
    powers = np.exp(-np.float64(np.float32(x.scale[0])) * steps)
    fixed = np.asarray([round(Fraction(float(power)) * (1 << 62)) for power in powers], np.uint64)
    table = Constant("powers", "uint64_t", fixed, "exp of 256 and of single differences, Q62", is_payload=False)
    network.add(operator, Call("softmax_wide", "softmax_wide", arguments, {}, (table,)), overwrites=(0,))


WIDE_REST: Final[dict[str, Callable[[TfOperator, Lowering], None]]] = {
    "MEAN": lower_mean_wide,
    "SOFTMAX": lower_softmax_wide,
}
"""By TFLite operator, where its first input is int16."""
