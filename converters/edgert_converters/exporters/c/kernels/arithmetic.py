"""ADD."""

from __future__ import annotations

import math
from fractions import Fraction

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
_FAST_SHIFT = 22
_FAST_B_SHIFT = 3
_LARGEST_RESULT = 1 << 22
_LARGEST_WHOLE = 1 << 62


def lower_add(operator: TfOperator, network: Lowering) -> None:
    """Adds the sum of two tensors of one shape.

    Raises:
        ModelError: one is broadcast over the other, or their scales are too far apart for exact integers.
    """
    tensors = (network.tensor(operator, 0), network.tensor(operator, 1))
    if tensors[0].shape != tensors[1].shape:
        raise network.refusal(operator, f"{list(tensors[1].shape)} is spread over {list(tensors[0].shape)}")
    a, b = (network.quant(operator, tensor) for tensor in tensors)
    y = network.quant(operator, network.result(operator))
    low, high = network.clamp(operator, y)
    reads, kernel = (0, 1), "add_q31"
    literals: dict[str, int | str] = {**_fixed_points(a, b, y)}
    if network.mode is Requantize.FP32:
        literals, kernel = _ratios(operator, network, a, b, y), "add_fp32"
    elif network.core.instructions is not Instructions.MVE:
        order = (0, 1) if a.scale[0] >= b.scale[0] else (1, 0)
        fast = _fast_points(_fixed_points(*((a, b) if order == (0, 1) else (b, a)), y))
        if fast is not None:
            reads, literals, kernel = order, fast, "add_fast_q31"
    call = Call(kernel, "add", {"count": math.prod(tensors[0].shape)}, {**literals, "low": low, "high": high})
    if network.core.instructions is Instructions.MVE:
        call = add_mve(call)
    network.add(operator, call, reads=reads, overwrites=(0, 1))


def _fixed_points(a: QuantParams, b: QuantParams, y: QuantParams) -> dict[str, int]:
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


def _fast_points(points: dict[str, int]) -> dict[str, int | str] | None:
    """Returns what `edgert_add_fast_q31` takes, a having the larger scale; None where its shifts are too large."""
    b_right, right = -points["b_shift"], -points["shift"]
    if (points["a_multiplier"], points["a_shift"]) != (1 << 30, 0):
        return None
    if not (0 <= b_right <= _FAST_B_SHIFT and 1 <= right <= _FAST_SHIFT):
        return None
    half = 1 << (b_right - 1) if b_right else 0
    return {
        "b_zero": points["b_zero"],
        "b_multiplier": points["b_multiplier"],
        "b_right": b_right,
        "b_rounding": half - (points["a_zero"] << 19 << b_right),
        "multiplier": points["multiplier"],
        "right": right,
        "rounding": (2 * points["y_zero"] + 1) << (right - 1),
    }


def _ratios(
    operator: TfOperator, network: Lowering, a: QuantParams, b: QuantParams, y: QuantParams
) -> dict[str, int | str]:
    """Returns the rule's constants as floats, and as integers in units of 2^-point, in which they are exact."""
    ratio_a, ratio_b = (np.float32(q.scale[0]) / np.float32(y.scale[0]) for q in (a, b))
    zeros = ratio_a * np.float32(a.zero_point[0]) + ratio_b * np.float32(b.zero_point[0])
    fixed = np.float32(y.zero_point[0]) - zeros
    exact = [Fraction(float(value)) for value in (ratio_a, ratio_b, fixed)]
    point = max(max(value.denominator for value in exact).bit_length() - 1, 0)
    largest = 128 * (exact[0] + exact[1]) + abs(exact[2])
    if largest >= _LARGEST_RESULT or largest * (1 << point) >= _LARGEST_WHOLE:
        raise network.refusal(operator, "the scales of its inputs and of its output are too far apart")
    whole = [int(value * (1 << point)) for value in exact]
    return {
        "a_ratio": float_literal(ratio_a),
        "b_ratio": float_literal(ratio_b),
        "fixed": float_literal(fixed),
        "a_whole": f"{whole[0]}LL",
        "b_whole": f"{whole[1]}LL",
        "fixed_whole": f"{whole[2]}LL",
        "point": point,
    }
