"""AVERAGE_POOL_2D, MAX_POOL_2D, MEAN and SUM of int8."""

from __future__ import annotations

import math

import numpy as np

from edgert.quant import QuantParams, multiplier_q31
from edgert_converters.exporters.c.core import Instructions
from edgert_converters.exporters.c.kernels.windows import Windows, find_pool
from edgert_converters.exporters.c.literals import float_literal
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_average_pool", "lower_max_pool", "lower_mean", "lower_sum"]

_LARGEST_RESULT = 1 << 22
_LARGEST_PAIR_SUM = 255


def lower_average_pool(operator: TfOperator, network: Lowering) -> None:
    """Adds the mean of windows of int8; padding does not count.

    Raises:
        ModelError: in `q31` mode its output has other parameters than its input.
    """
    windows, literals = find_pool(operator, network)
    x, y = network.quant(operator, network.tensor(operator, 0)), network.quant(operator, network.result(operator))
    low, high = network.clamp(operator, y)
    has_pairs = network.core.instructions is not Instructions.PORTABLE
    by_four = has_pairs and windows.y[2] % 4 == 0 and math.prod(windows.kernel) <= _LARGEST_PAIR_SUM
    literals["step"] = 4 if by_four else 1
    if network.mode is Requantize.Q31:
        if x != y:
            raise network.refusal(operator, "its output has other parameters than its input")
        call = Call("average_pool_q31", "pool", windows.arguments(), {**literals, "low": low, "high": high})
    else:
        ends = {"x_zero": x.zero_point[0], "y_zero": y.zero_point[0], "low": low, "high": high}
        table = _multipliers(operator, network, windows)
        call = Call("average_pool_fp32", "pool", windows.arguments(), {**literals, **ends}, (table,))
    network.add(operator, call, rows=windows.rows)


def lower_max_pool(operator: TfOperator, network: Lowering) -> None:
    """Adds the largest integer of windows.

    Raises:
        ModelError: its output has other parameters than its input.
    """
    windows, literals = find_pool(operator, network)
    x, y = network.quant(operator, network.tensor(operator, 0)), network.quant(operator, network.result(operator))
    if x != y:
        raise network.refusal(operator, "its output has other parameters than its input")
    low, high = network.clamp(operator, y)
    call = Call("max_pool", "pool", windows.arguments(), {**literals, "low": low, "high": high})
    network.add(operator, call, rows=windows.rows)


def lower_mean(operator: TfOperator, network: Lowering) -> None:
    """Adds the mean over neighbouring axes."""
    _lower_reduction(operator, network, is_mean=True)


def lower_sum(operator: TfOperator, network: Lowering) -> None:
    """Adds the sum over neighbouring axes."""
    _lower_reduction(operator, network, is_mean=False)


def _multipliers(operator: TfOperator, network: Lowering, windows: Windows) -> Constant:
    """Returns s_x / (s_y * n) by the number of elements outside, up to the most that occur."""
    x, y = network.quant(operator, network.tensor(operator, 0)), network.quant(operator, network.result(operator))
    taken = [
        [max(min(i * s - p + k, n) - max(i * s - p, 0), 1) for i in range(out)]
        for out, s, p, k, n in zip(
            windows.y[:2], windows.strides, windows.pads, windows.kernel, windows.x[:2], strict=True
        )
    ]
    size = math.prod(windows.kernel)
    counts = np.arange(size, min(taken[0]) * min(taken[1]) - 1, -1).astype(np.float32)
    values = np.float32(x.scale[0]) / (np.float32(y.scale[0]) * counts)
    _check(operator, network, size, x, float(values[0]))
    return Constant("multipliers", "float", values, "by elements outside", is_payload=False)


def _lower_reduction(operator: TfOperator, network: Lowering, *, is_mean: bool) -> None:
    """Adds sums over one run of axes, scaled.

    Raises:
        ModelError: other axes lie between those that are summed over, or results leave the range of the kernels.
    """
    outer, count, inner = _split(operator, network)
    x, y = network.quant(operator, network.tensor(operator, 0)), network.quant(operator, network.result(operator))
    ends: dict[str, int | str] = {"x_zero": x.zero_point[0], "y_zero": y.zero_point[0], "low": -128, "high": 127}
    arguments = {"outer": outer, "count": count, "inner": inner}
    divisor = count if is_mean else 1
    if network.mode is Requantize.FP32:
        multiplier = np.float32(x.scale[0]) / (np.float32(y.scale[0]) * np.float32(divisor))
        _check(operator, network, count, x, float(multiplier))
        call = Call("reduce_fp32", "pool", arguments, {"multiplier": float_literal(multiplier), **ends})
    else:
        fixed, shift = _fixed_point(x, y, divisor)
        if count * 255 << max(shift, 0) >= 1 << 31 or shift < -31:
            raise network.refusal(operator, "its sums can leave 32 bits")
        call = Call("reduce_q31", "pool", arguments, {"multiplier": fixed, "shift": shift, **ends})
    network.add(operator, call)


def _fixed_point(x: QuantParams, y: QuantParams, count: int) -> tuple[int, int]:
    """The multiplier of s_x / s_y with 1 / count in it, cut to as many bits as `count` has, as TensorFlow Lite's."""
    fixed, shift = multiplier_q31(np.float64(np.float32(x.scale[0])) / np.float64(np.float32(y.scale[0])))
    bits = min(count.bit_length() - 1, 32, 31 + int(shift))
    return (int(fixed) << bits) // count, int(shift) - bits


def _split(operator: TfOperator, network: Lowering) -> tuple[int, int, int]:
    """Returns the elements before, within and after the axes that are summed over."""
    shape = network.tensor(operator, 0).shape
    given = {int(axis) % len(shape) for axis in np.asarray(network.constant(operator, 1)).reshape(-1)}
    axes = [axis for axis in sorted(given) if shape[axis] > 1]
    first, last = (axes[0], axes[-1]) if axes else (0, -1)
    if any(shape[axis] > 1 and axis not in given for axis in range(first, last + 1)):
        raise network.refusal(operator, f"its axes {sorted(given)} of {list(shape)} are not neighbours")
    return math.prod(shape[:first]), math.prod(shape[first : last + 1]), math.prod(shape[last + 1 :])


def _check(operator: TfOperator, network: Lowering, count: int, x: QuantParams, multiplier: float) -> None:
    """Raises where results can reach 2^22, beyond which the kernels do not round exactly."""
    largest = count * max(127 - x.zero_point[0], x.zero_point[0] + 128)
    if largest * multiplier >= _LARGEST_RESULT or largest >= 1 << 31:
        raise network.refusal(operator, "its results can reach 2^22 steps of the output")
