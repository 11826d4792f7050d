"""Constants of a layer with weights: what says, per output channel, how sums become output integers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams, multiplier_fp32, multiplier_q31, multiply_q31
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Constant
from edgert_converters.ops.spec import Array
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator

__all__ = [
    "Channels",
    "channel_table",
    "find_channels",
    "largest_sum",
    "scale_table",
    "settle_constant_outputs",
    "table_of",
    "takes_fast_form",
]

_LARGEST_SUM = (1 << 31) - 1
_LARGEST_FAST_SUM = (1 << 30) - 1
_LARGEST_RESULT = 1 << 22
_FAST_SHIFTS = (-22, -1)


@dataclass(frozen=True, slots=True)
class Channels:
    """Per output channel: weights int8[outputs, terms], bias with the input's zero point folded in, and its scale.

    `multiplier` is float32 and `shift` None in `fp32` mode, both int64 in `q31`. `clamp`: smallest and largest output
    integer; `y_zero`: the output's zero point.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int64]
    multiplier: Array
    shift: NDArray[np.int64] | None
    clamp: tuple[int, int]
    y_zero: int

    @property
    def range(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The smallest and the largest sum of every channel over all int8 inputs."""
        wide = self.weights.astype(np.int64)
        low = self.bias + np.minimum(-128 * wide, 127 * wide).sum(axis=1)
        high = self.bias + np.maximum(-128 * wide, 127 * wide).sum(axis=1)
        return low, high

    @property
    def is_fast(self) -> bool:
        """True where `edgert_scale_fast` is exact for every sum (edgert_requantize.h says when)."""
        return takes_fast_form(self.weights, table_of(self))

    def outputs(self, sums: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the output integers of sums int64[outputs]."""
        if self.shift is None:
            scaled = np.rint(sums.astype(np.float32) * self.multiplier.astype(np.float32)).astype(np.int64)
        else:
            scaled = multiply_q31(sums, self.multiplier.astype(np.int64), self.shift)
        result: NDArray[np.int64] = np.clip(scaled + self.y_zero, *self.clamp)
        return result


def find_channels(
    operator: TfOperator, network: Lowering, weights: NDArray[np.int8], weight_quant: QuantParams, *, is_matrix: bool
) -> Channels:
    """Returns bias and scale of every output channel.

    Args:
        operator: reads the input, the weights and, where it has one, the bias.
        network: the network under construction.
        weights: int8[outputs, terms]: row o is everything that channel o sums over.
        weight_quant: of the weights, per channel or with one scale for all.
        is_matrix: a fully connected layer, whose scales `q31` multiplies in float32 where there is one weight scale.

    Raises:
        ModelError: sums or results can leave the range in which the C code is exact.
    """
    x, y = network.quant(operator, network.tensor(operator, 0)), network.quant(operator, network.result(operator))
    bias = np.zeros(len(weights), np.int64)
    if network.has_input(operator, 2):
        bias = network.constant(operator, 2).astype(np.int64).reshape(-1)
    folded = bias - x.zero_point[0] * weights.astype(np.int64).sum(axis=1)
    if largest_sum(weights, folded).max(initial=0) > _LARGEST_SUM:
        raise network.refusal(operator, "its sums can leave 32 bits")
    scale = np.broadcast_to(np.asarray(weight_quant.scale, np.float32), len(weights))
    ends = network.clamp(operator, y), y.zero_point[0]
    if network.mode is Requantize.Q31:
        fixed, shift = multiplier_q31(_real_scales(x, scale, y, is_matrix and len(weight_quant.scale) == 1))
        if (largest_sum(weights, folded) << np.maximum(shift, 0)).max(initial=0) > _LARGEST_SUM:
            raise network.refusal(operator, "its output is much finer than its sums: scaled they can leave 32 bits")
        return Channels(weights, folded, fixed, shift, *ends)
    multiplier = multiplier_fp32(x.scale[0], scale, y.scale[0])
    if float((largest_sum(weights, folded) * multiplier.astype(np.float64)).max(initial=0)) >= _LARGEST_RESULT:
        raise network.refusal(operator, "its results can reach 2^22 steps of the output")
    return Channels(weights, folded, multiplier, None, *ends)


def channel_table(
    operator: TfOperator, network: Lowering, weights: NDArray[np.int8], weight_quant: QuantParams, *, is_matrix: bool
) -> Constant:
    """Returns bias and multiplier of every output channel as `edgert_channel_t`; arguments as `find_channels`."""
    return table_of(find_channels(operator, network, weights, weight_quant, is_matrix=is_matrix))


def table_of(channels: Channels) -> Constant:
    """Returns what the kernels of `edgert_channel_t` read."""
    fields = [("bias", "<i4"), *_scale_fields(channels)]
    rows = np.empty(len(channels.bias), fields)
    rows["bias"], rows["multiplier"] = channels.bias, channels.multiplier
    if channels.shift is not None:
        rows["shift"] = channels.shift
    return Constant("channels", "edgert_channel_t", rows, ", ".join(name for name, _ in fields))


def takes_fast_form(weights: NDArray[np.int8], table: Constant) -> bool:
    """True where `edgert_scale_fast` is exact for every sum (edgert_requantize.h says when); `table` of `table_of`."""
    rows = np.asarray(table.values.tolist(), np.float64)  # exact: rows of int32, or of int32 and float32
    if rows.shape[1] < len(("bias", "multiplier", "shift")):
        return True
    bias, shift = rows[:, 0].astype(np.int64), rows[:, 2]
    low, high = _FAST_SHIFTS
    is_near = largest_sum(weights, bias).max(initial=0) <= _LARGEST_FAST_SUM
    return bool(is_near and low <= shift.min(initial=low) and shift.max(initial=low) <= high)


def scale_table(channels: Channels, *, may_share: bool = False) -> Constant:
    """Returns the scales alone, as `edgert_multiplier_t`: a single row where all are equal and `may_share`.

    Else their number is a multiple of four; the last ones are 0. Shifts are what the kernel needs: where the fast form
    serves, the right shift less 1.
    """
    fields = _scale_fields(channels)
    count = len(channels.bias)
    rows = np.zeros(-(-count // 4) * 4, fields)
    rows["multiplier"][:count] = channels.multiplier
    if channels.shift is not None:
        rows["shift"][:count] = -channels.shift - 1 if channels.is_fast else channels.shift
    if may_share and len(np.unique(rows[:count])) == 1:
        rows = rows[:1]
    return Constant("scales", "edgert_multiplier_t", rows, ", ".join(name for name, _ in fields))


def settle_constant_outputs(channels: Channels) -> Channels:
    """Returns channels whose output is the same for every input with other constants that give that output.

    Training leaves such channels with tiny scales and a bias near 2^30, which no fast kernel takes. Their weights
    become 0 and their bias the output itself, at a scale that is exact: a quarter with `q31`, 1 with `fp32`.
    """
    low, high = channels.range
    outputs = channels.outputs(low)
    is_constant = outputs == channels.outputs(high)
    weights = np.where(is_constant[:, None], 0, channels.weights).astype(np.int8)
    steps = outputs - channels.y_zero
    if channels.shift is None:
        multiplier = np.where(is_constant, np.float32(1), channels.multiplier).astype(np.float32)
        return replace(
            channels, weights=weights, bias=np.where(is_constant, steps, channels.bias), multiplier=multiplier
        )
    return replace(
        channels,
        weights=weights,
        bias=np.where(is_constant, 4 * steps, channels.bias),
        multiplier=np.where(is_constant, 1 << 30, channels.multiplier),
        shift=np.where(is_constant, -1, channels.shift),
    )


def largest_sum(weights: NDArray[np.int8], folded: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns how far from zero each channel's sum, and every partial sum of it, can come for any int8 input."""
    magnitude: NDArray[np.int64] = np.abs(folded) + 128 * np.abs(weights.astype(np.int64)).sum(axis=1)
    return magnitude


def _scale_fields(channels: Channels) -> list[tuple[str, str]]:
    return [("multiplier", "<f4")] if channels.shift is None else [("multiplier", "<i4"), ("shift", "<i4")]


def _real_scales(x: QuantParams, w: NDArray[np.float32], y: QuantParams, in_float32: bool) -> NDArray[np.float64]:
    product = w.astype(np.float64) * np.float64(np.float32(x.scale[0]))
    if in_float32:
        product = (np.float32(x.scale[0]) * w).astype(np.float64)
    result: NDArray[np.float64] = product / np.float64(np.float32(y.scale[0]))
    return result
