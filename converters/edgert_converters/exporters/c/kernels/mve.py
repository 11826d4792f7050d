"""Calls of the kernels for Helium (Arm MVE) and the weights as they read them (edgert_mve.h).

They are exact for every sum of 32 bits, every right shift and any number of channels. What they do not take (groups,
several outputs per depthwise channel, and left shifts, which come before the multiplication) stays with the portable
kernels: None here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgert_converters.exporters.c.kernels.channels import Channels
from edgert_converters.exporters.c.kernels.windows import Windows
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.ops.spec import Array

__all__ = ["add_mve", "conv_mve", "depthwise_mve", "fully_connected_mve"]

_T = TypeVar("_T", bound=np.generic)
_EVEN_THEN_ODD = (0, 2, 4, 6, 1, 3, 5, 7)


def conv_mve(windows: Windows, groups: int, channels: Channels, x_zero: int) -> Call | None:
    """Returns the call of a convolution, None where none takes it; 1x1 windows are summed where they lie."""
    if groups != 1 or _has_left_shifts(channels):
        return None
    depth = windows.x[2]
    if windows.kernel == windows.strides == (1, 1) and windows.pads == (0, 0):
        return _conv_1x1(windows.arguments(), windows.x[1], channels)
    constants = (_dot_weights(channels.weights), _table(channels, range(len(channels.bias))))
    literals = {
        "in_columns": windows.x[1],
        "in_channels": depth,
        "out_columns": windows.y[1],
        "outputs": windows.y[2],
        **windows.taps(),
        "x_zero": x_zero,
        **_ends(channels),
    }
    scratch = 2 * _whole(channels.weights.shape[1], 16) + 16
    return Call("conv_mve", "conv_mve", windows.arguments(), literals, constants, scratch)


def fully_connected_mve(batch: int, channels: Channels) -> Call | None:
    """Returns the call of a product with constant weights; several samples are positions of a 1x1 window."""
    outputs, depth = channels.weights.shape
    if _has_left_shifts(channels):
        return None
    if batch != 1:
        rows = {"in_rows": batch, "out_rows": batch, "pad_top": 0}
        return _conv_1x1(rows, 1, channels)
    constants = (_dot_weights(channels.weights), _table(channels, range(outputs)))
    literals = {"is_whole": int(outputs % 4 == 0), "has_rest": int(depth % 16 != 0), **_ends(channels)}
    arguments = {"depth": depth, "outputs": outputs}
    return Call("fully_connected_mve", "fully_connected_mve", arguments, literals, constants)


def depthwise_mve(windows: Windows, channels: Channels, x_zero: int) -> Call | None:
    """Returns the call of a depthwise convolution, None where a channel has several outputs or a left shift.

    It may take its input's memory where it makes no more columns than it reads.
    """
    if windows.x[2] != windows.y[2] or _has_left_shifts(channels):
        return None
    taps = windows.kernel[0] * windows.kernel[1]
    lanes = _padded(channels.weights, 8).reshape(-1, 8, taps).transpose(0, 2, 1)
    order = [first + lane for first in range(0, len(channels.bias), 8) for lane in _EVEN_THEN_ODD]
    reach = [(windows.kernel[i] - 1) * windows.dilations[i] + 1 for i in range(2)]
    arguments = {
        **windows.arguments(),
        "in_columns": windows.x[1],
        "out_columns": windows.y[1],
        "depth": windows.x[2],
        "stride_rows": windows.strides[0],
        "stride_columns": windows.strides[1],
        "pad_left": windows.pads[1],
    }
    literals = {
        "kernel_rows": windows.kernel[0],
        "kernel_columns": windows.kernel[1],
        "dilation_rows": windows.dilations[0],
        "dilation_columns": windows.dilations[1],
        "together": _together(channels.weights),
        "is_whole": int(windows.x[2] % 8 == 0),
        "x_zero": x_zero,
        **_ends(channels),
    }
    constants = (_weights(lanes, "[channels / 8][rows][columns][8]"), _table(channels, order))
    scratch = 16 * reach[0] * ((windows.y[1] - 1) * windows.strides[1] + reach[1])
    return Call("depthwise_mve", "depthwise_mve", arguments, literals, constants, scratch)


def add_mve(call: Call) -> Call:
    """Returns the call of a sum with the vector kernel where there is one for its mode and shifts."""
    shifts = [call.literals.get(name, 1) for name in ("a_shift", "b_shift", "shift")]
    if call.kernel != "add_q31" or any(int(shift) > 0 for shift in shifts):
        return call
    return replace(call, kernel="add_q31_mve", header="add_mve")


def _conv_1x1(rows: dict[str, int], columns: int, channels: Channels) -> Call:
    outputs, depth = channels.weights.shape
    constants = (_dot_weights(channels.weights), _table(channels, range(outputs)))
    literals = {"is_whole": int(outputs % 4 == 0), **_ends(channels)}
    arguments = {**rows, "columns": columns}
    if depth % 16 == 0:
        arguments |= {"chunks": depth // 16, "outputs": outputs}
        return Call("conv_1x1_mve", "conv_mve", arguments, literals, constants)
    arguments |= {"depth": depth, "outputs": outputs}
    return Call("conv_1x1_rest_mve", "conv_mve", arguments, literals, constants, 2 * _whole(depth, 16))


def _dot_weights(weights: NDArray[np.int8]) -> Constant:
    """Packs [outputs, terms] as [outputs / 4][terms / 16][4][16]."""
    terms = _whole(weights.shape[1], 16)
    wide = np.pad(_padded(weights, 4), ((0, 0), (0, terms - weights.shape[1])))
    return _weights(wide.reshape(-1, 4, terms // 16, 16).transpose(0, 2, 1, 3), "[outputs / 4][terms / 16][4][16]")


def _weights(values: NDArray[np.int8], order: str) -> Constant:
    return Constant("weights", "int8_t", np.ascontiguousarray(values).reshape(-1), order)


def _table(channels: Channels, order: range | list[int]) -> Constant:
    """Packs biases and scales of 4 channels at a time, those that `order` names; beyond the last one it is zeros."""
    is_float = channels.shift is None
    multiplier = channels.multiplier.astype(np.float32 if is_float else np.int32).view(np.int32)
    count = _whole(max(order, default=-1) + 1, 4)
    known = _padded(np.stack([channels.bias.astype(np.int32), multiplier], axis=1), count)[list(order)]
    blocks: Array = _padded(known, 4).reshape(-1, 4, 2).transpose(0, 2, 1).reshape(-1, 8)
    if channels.shift is not None:
        shifts = _padded(_padded(channels.shift.astype(np.int8).reshape(-1, 1), count)[list(order)], 4)
        blocks = np.concatenate([blocks, np.ascontiguousarray(shifts).reshape(-1, 4).view("<i4")], axis=1)
    comment = "per 4 outputs: biases, multipliers" + (" (bits of float)" if is_float else ", shifts (a byte each)")
    return Constant("channels", "int32_t", np.ascontiguousarray(blocks, np.int32).reshape(-1), comment)


def _together(weights: NDArray[np.int8]) -> int:
    """Returns how many products in a row, from any multiple of that on, always fit 16 bits."""
    wide = weights.astype(np.int64)
    lows, highs = np.minimum(-128 * wide, 127 * wide), np.maximum(-128 * wide, 127 * wide)
    for count in range(wide.shape[1], 1, -1):
        starts = np.arange(0, wide.shape[1], count)
        fits = np.add.reduceat(lows, starts, axis=1).min() >= -(1 << 15)
        if fits and np.add.reduceat(highs, starts, axis=1).max() < 1 << 15:
            return count
    return 1


def _has_left_shifts(channels: Channels) -> bool:
    return channels.shift is not None and bool((channels.shift > 0).any())


def _ends(channels: Channels) -> dict[str, int]:
    return {"y_zero": channels.y_zero, "low": channels.clamp[0], "high": channels.clamp[1]}


def _padded(rows: NDArray[_T], multiple: int) -> NDArray[_T]:
    """Returns rows and, behind them, rows of zeros up to a multiple."""
    return np.pad(rows, ((0, _whole(len(rows), multiple) - len(rows)), (0, 0)))


def _whole(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
