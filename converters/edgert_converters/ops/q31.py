"""Integer rules of `q31` requantization that several operators share (docs/numerics.md).

Each is what TensorFlow Lite Micro's reference kernel computes, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams, multiplier_q31, multiply_q31, requantize_q31
from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.fixed_point import Raw
from edgert_converters.ops.spec import Array, IntegerRule, Node, QTensor, ReferenceRule

__all__ = [
    "DIFFERENCE_BITS",
    "SUM_BITS",
    "centred_integers",
    "clamp_q31",
    "clamped",
    "move_q31",
    "rescale_q31",
    "rounded_limit",
    "scale_of",
    "scaled_differences",
    "sum_q31",
]

DIFFERENCE_BITS, SUM_BITS = 5, 12
"""Integer bits of a difference to the largest logit, and of the sum of exponentials."""


def scale_of(params: QuantParams) -> np.float32:
    """Returns the scale of a tensor with one."""
    return np.float32(params.scale[0])


def centred_integers(x: QTensor) -> Raw:
    """Returns q - zero_point."""
    result: Raw = x.values.astype(np.int64) - x.params.zero_point[0]
    return result


def clamped(values: Raw, params: QuantParams) -> QTensor:
    """Returns clamp(values + zero_point) as integers of `params`."""
    low, high = params.dtype.integer_range
    return QTensor(np.clip(values + params.zero_point[0], low, high).astype(params.dtype.numpy), params)


def rescale_q31(x: QTensor, params: QuantParams) -> QTensor:
    """Returns the same real values under other parameters: (q - zp_x) times the fixed-point s_x / s_y."""
    if x.params == params:
        return x
    real = np.float64(scale_of(x.params)) / np.float64(scale_of(params))
    return QTensor(requantize_q31(centred_integers(x), *multiplier_q31(real), params), params)


def rounded_limit(limit: float, params: QuantParams) -> int:
    """Returns the integer of a limit, rounded half away from zero and clamped to the type."""
    ratio = float(np.float32(limit) / scale_of(params))
    low, high = params.dtype.integer_range
    rounded = math.copysign(math.floor(abs(ratio) + 0.5), ratio) if math.isfinite(ratio) else ratio
    return int(min(max(rounded + params.zero_point[0], low), high))


def clamp_q31(limits: Callable[[Node, Sequence[object]], tuple[float, float]]) -> IntegerRule:
    """Returns the rule of a clamp on its own: rescaled, then clamped to its rounded limits."""

    def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
        moved = rescale_q31(require_input(node, inputs, 0), outputs[0])
        first, last = (rounded_limit(limit, outputs[0]) for limit in limits(node, inputs))
        return [QTensor(np.clip(moved.values, first, last), outputs[0])]

    return integer


def move_q31(reference: ReferenceRule) -> IntegerRule:
    """Returns the rule of an operator that moves or selects values: rescaled where the parameters differ."""

    def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
        x = require_input(node, inputs, 0)
        plain = [x.values, *(v.values if isinstance(v, QTensor) else v for v in inputs[1:])]
        moved = reference(node, plain)
        return [rescale_q31(QTensor(v, x.params), p) for v, p in zip(moved, outputs, strict=True)]

    return integer


def sum_q31(a: QTensor, b: QTensor, params: QuantParams, *, sign: int, in_float32: bool) -> QTensor:
    """Returns a + b or, with `sign` -1, a - b.

    Both are shifted left by 20 bits (15 for 16-bit numbers) and brought to twice the larger scale; their sum is brought
    to the output's. `in_float32`: the ratios of the scales are formed in float32 instead of double precision.
    """
    kind = np.float32 if in_float32 else np.float64
    shift = 15 if params.dtype.itemsize_bytes == 2 else 20
    twice = kind(2) * kind(max(scale_of(a.params), scale_of(b.params)))
    parts = [
        multiply_q31(centred_integers(x) << shift, *multiplier_q31(np.float64(kind(scale_of(x.params)) / twice)))
        for x in (a, b)
    ]
    real = np.float64(twice / (kind(1 << shift) * kind(scale_of(params))))
    return clamped(multiply_q31(parts[0] + sign * parts[1], *multiplier_q31(real)), params)


def scaled_differences(differences: Raw, scale: np.float32) -> tuple[Raw, NDArray[np.bool_]]:
    """Returns q - max q times s_x in Q5, and which are large enough to count; the others are given as 0."""
    multiplier, shift = multiplier_q31(np.minimum(np.float64(scale) * (1 << 26), (1 << 31) - 1.0))
    smallest = -math.floor(31 * 2.0 ** (26 - int(shift)))
    taken = differences >= smallest
    return multiply_q31(np.where(taken, differences, 0), multiplier, shift), taken
