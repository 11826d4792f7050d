"""DEPTHWISE_CONV_2D: every input channel has weights of its own.

The kernels copy one channel after another to a plane with its padding, which may be done in strips of output rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgert_converters.exporters.c.core import Instructions
from edgert_converters.exporters.c.kernels.channels import Channels, find_channels, settle_constant_outputs, table_of
from edgert_converters.exporters.c.kernels.mve import depthwise_mve
from edgert_converters.exporters.c.kernels.windows import Windows, find_windows
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_depthwise_conv"]

_SPARE_BYTES = 6144
_TURN_GAIN = 0.9


@dataclass(frozen=True, slots=True)
class _Plane:
    """A kernel and the memory that it needs: `strip` output lines are made of one plane."""

    kernel: str
    strip: int
    scratch_bytes: int

    @property
    def is_upright(self) -> bool:
        """True where lines of the plane are columns of the activation."""
        return self.kernel.endswith("columns")


def lower_depthwise_conv(operator: TfOperator, network: Lowering) -> None:
    """Adds a convolution with one group per input channel; its weights lie as [1, rows, columns, outputs].

    Where it makes no more pixels than it reads, and one output per channel, it may take its input's memory.
    """
    stored, quant = network.weights(operator, 1)
    windows = find_windows(operator, network, (stored.shape[1], stored.shape[2]))
    flat = np.ascontiguousarray(np.transpose(stored[0], (2, 0, 1))).reshape(stored.shape[3], -1)
    channels = find_channels(operator, network, flat, quant, is_matrix=False)
    x_zero = network.quant(operator, network.tensor(operator, 0)).zero_point[0]
    if network.core.instructions is Instructions.MVE:
        lanes = depthwise_mve(windows, channels, x_zero)
        if lanes is not None:
            _add(operator, network, lanes, windows)
            return
    channels = settle_constant_outputs(channels)
    has_pairs = network.core.instructions is not Instructions.PORTABLE and channels.is_fast
    plane = _choose_plane(windows, has_pairs)
    call = Call(
        plane.kernel,
        "depthwise_dsp" if plane.kernel.startswith("depthwise_dsp") else "depthwise",
        windows.arguments(),
        _literals(windows, channels, plane, x_zero),
        (_weights(windows, channels, plane), table_of(channels)),
        plane.scratch_bytes,
    )
    _add(operator, network, call, windows)


def _weights(windows: Windows, channels: Channels, plane: _Plane) -> Constant:
    """The weights in the order that the kernel reads them."""
    values = channels.weights.reshape(-1, *windows.kernel)
    if plane.is_upright:
        values = np.transpose(values, (0, 2, 1))
    return Constant("weights", "int8_t", values.reshape(-1), f"[{', '.join(map(str, values.shape))}]")


def _add(operator: TfOperator, network: Lowering, call: Call, windows: Windows) -> None:
    fits = windows.x[2] == windows.y[2] and windows.y[0] <= windows.x[0] and windows.y[1] <= windows.x[1]
    network.add(
        operator,
        call,
        overwrites=(0,) if fits else (),
        rows=windows.rows,
        macs=math.prod(windows.y) * math.prod(windows.kernel),
        note=windows.describe(),
    )


def _choose_plane(windows: Windows, has_pairs: bool) -> _Plane:
    """Returns the kernel: by pairs along rows or along columns, whichever leaves less over, or the portable one."""
    by_row = has_pairs and windows.strides[1] in {1, 2} and windows.dilations[1] == 1
    by_column = has_pairs and windows.strides[0] in {1, 2} and windows.dilations[0] == 1
    upright = _pair_bytes(windows, 1, windows.y[1])
    if by_column and upright <= _SPARE_BYTES and (not by_row or _cost(windows, 0) < _TURN_GAIN * _cost(windows, 1)):
        return _Plane("depthwise_dsp_columns", windows.y[1], upright)
    if by_row:
        strip = _longest_strip(windows.y[0], lambda lines: _pair_bytes(windows, 0, lines))
        return _Plane("depthwise_dsp", strip, _pair_bytes(windows, 0, strip))
    strip = _longest_strip(windows.y[0], lambda lines: _byte_plane(windows, lines))
    return _Plane("depthwise", strip, _byte_plane(windows, strip))


def _longest_strip(lines: int, plane_bytes: Callable[[int], int]) -> int:
    """Returns the most output lines whose plane fits the spare memory; at least one."""
    return max((n for n in range(1, lines + 1) if plane_bytes(n) <= _SPARE_BYTES), default=1)


def _plane_lines(windows: Windows, axis: int, strip: int) -> int:
    """Lines that `strip` output lines across `axis` read."""
    return (strip - 1) * windows.strides[axis] + (windows.kernel[axis] - 1) * windows.dilations[axis] + 1


def _byte_plane(windows: Windows, strip: int) -> int:
    """Bytes of a plane of int8."""
    return _plane_lines(windows, 0, strip) * _plane_lines(windows, 1, windows.y[1])


def _pair_bytes(windows: Windows, lines: int, strip: int) -> int:
    """Bytes of packed weights and a plane of int16; as edgert_depthwise_words and edgert_depthwise_pitch have it."""
    line = 1 - lines
    kernel, stride, out = windows.kernel[line], windows.strides[line], windows.y[line]
    words = 2 if kernel == 3 else kernel // 2 * 2 + 2 if stride == 1 else (kernel + 1) // 2
    blocks = out // 4 * 4 + (0, 2, 2, 4)[out % 4]
    pitch = (blocks - 2) * stride + 2 * (stride == 2) + kernel // 2 * 2 + 2
    return 4 * windows.kernel[lines] * words + 2 * _plane_lines(windows, lines, strip) * pitch


def _cost(windows: Windows, line: int) -> float:
    """What the outputs of a plane cost, in blocks of four, with lines along axis `line`."""
    full, over = divmod(windows.y[line], 4)
    return windows.y[1 - line] * (full + (0.0, 0.6, 0.6, 1.0)[over] + 0.3)


def _literals(windows: Windows, channels: Channels, plane: _Plane, x_zero: int) -> dict[str, int | str]:
    ends = {"low": channels.clamp[0], "high": channels.clamp[1]}
    if plane.kernel == "depthwise":
        ends["is_fast"] = int(channels.is_fast)
    return {
        "in_columns": windows.x[1],
        "out_columns": windows.y[1],
        "in_channels": windows.x[2],
        "multiplier": windows.y[2] // windows.x[2],
        **windows.taps(),
        "strip": plane.strip,
        "is_whole": int(plane.strip >= windows.y[int(plane.is_upright)]),
        "x_zero": x_zero,
        "y_zero": channels.y_zero,
        **ends,
    }
