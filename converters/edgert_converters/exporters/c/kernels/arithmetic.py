"""ADD."""

from __future__ import annotations

import math

import numpy as np

from edgert.quant import QuantParams, multiplier_q31
from edgert_converters.exporters.c.core import Instructions
from edgert_converters.exporters.c.kernels.mve import add_mve
from edgert_converters.exporters.c.literals import float_literal
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_add"]

_SHIFT = 20


def lower_add(operator: TfOperator, network: Lowering) -> None:
    """Adds the sum of two tensors of one shape.

    Raises:
        ModelError: one is broadcast over the other.
    """
    tensors = (network.tensor(operator, 0), network.tensor(operator, 1))
    if tensors[0].shape != tensors[1].shape:
        raise network.refusal(operator, f"{list(tensors[1].shape)} is spread over {list(tensors[0].shape)}")
    a, b = (network.quant(operator, tensor) for tensor in tensors)
    y = network.quant(operator, network.result(operator))
    low, high = network.clamp(operator, y)
    if network.mode is Requantize.FP32:
        call = Call("add_fp32", "add", {"count": _count(tensors[0].shape)}, _ratios(a, b, y))
    else:
        call = Call("add_q31", "add", {"count": _count(tensors[0].shape)}, _fixed_points(a, b, y))
    call = Call(call.kernel, call.header, call.arguments, {**call.literals, "low": low, "high": high})
    if network.core.instructions is Instructions.MVE:
        call = add_mve(call)
    network.add(operator, call, reads=(0, 1), overwrites=(0, 1))


def _count(shape: tuple[int, ...]) -> int:
    return math.prod(shape)


def _fixed_points(a: QuantParams, b: QuantParams, y: QuantParams) -> dict[str, int | str]:
    twice = np.float64(2) * np.float64(max(np.float32(a.scale[0]), np.float32(b.scale[0])))
    reals = [np.float64(np.float32(q.scale[0])) / twice for q in (a, b)]
    reals.append(twice / (np.float64(1 << _SHIFT) * np.float64(np.float32(y.scale[0]))))
    (a_fixed, a_shift), (b_fixed, b_shift), (fixed, shift) = (multiplier_q31(real) for real in reals)
    return {
        "a_zero": a.zero_point[0],
        "a_multiplier": int(a_fixed),
        "a_shift": int(a_shift),
        "b_zero": b.zero_point[0],
        "b_multiplier": int(b_fixed),
        "b_shift": int(b_shift),
        "multiplier": int(fixed),
        "shift": int(shift),
        "y_zero": y.zero_point[0],
    }


def _ratios(a: QuantParams, b: QuantParams, y: QuantParams) -> dict[str, int | str]:
    ratio_a, ratio_b = (np.float32(q.scale[0]) / np.float32(y.scale[0]) for q in (a, b))
    zeros = ratio_a * np.float32(a.zero_point[0]) + ratio_b * np.float32(b.zero_point[0])
    fixed = np.float32(y.zero_point[0]) - zeros
    return {"a_ratio": float_literal(ratio_a), "b_ratio": float_literal(ratio_b), "fixed": float_literal(fixed)}
