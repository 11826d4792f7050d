"""Where windows of convolutions and pools lie: TensorFlow's SAME and VALID as numbers."""

from __future__ import annotations

from dataclasses import dataclass

from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Rows
from edgert_converters.tflite.model import TfOperator

__all__ = ["Windows", "find_pool", "find_windows"]

_SAME = 0


@dataclass(frozen=True, slots=True)
class Windows:
    """Pairs are (rows, columns), `pads` those before the first; x and y are [rows, columns, channels]."""

    x: tuple[int, int, int]
    y: tuple[int, int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int]

    @property
    def rows(self) -> Rows:
        """What cutting into strips needs."""
        reach = (self.kernel[0] - 1) * self.dilations[0] + 1
        return Rows(reach, self.strides[0], self.pads[0], self.x[0], self.y[0])

    def arguments(self) -> dict[str, int]:
        """What a kernel takes at run time."""
        return {"in_rows": self.x[0], "out_rows": self.y[0], "pad_top": self.pads[0]}

    def geometry(self) -> dict[str, int]:
        """Columns and channels on both sides, then the taps."""
        return {
            "in_columns": self.x[1],
            "in_channels": self.x[2],
            "out_columns": self.y[1],
            "out_channels": self.y[2],
            **self.taps(),
        }

    def taps(self) -> dict[str, int]:
        """Kernel, strides and dilations of both axes and the padding before the first column."""
        return {
            "kernel_rows": self.kernel[0],
            "kernel_columns": self.kernel[1],
            "stride_rows": self.strides[0],
            "stride_columns": self.strides[1],
            "dilation_rows": self.dilations[0],
            "dilation_columns": self.dilations[1],
            "pad_left": self.pads[1],
        }

    def describe(self) -> str:
        """Kernel, strides and dilations in words."""
        parts = [f"{self.kernel[0]}x{self.kernel[1]}"]
        if self.strides != (1, 1):
            parts.append(f"stride {self.strides[0]}x{self.strides[1]}")
        if self.dilations != (1, 1):
            parts.append(f"dilation {self.dilations[0]}x{self.dilations[1]}")
        return ", ".join(parts)


def find_windows(operator: TfOperator, network: Lowering, kernel: tuple[int, int]) -> Windows:
    """Returns the windows of an operator on one sample of [samples, rows, columns, channels].

    Raises:
        ModelError: the input has another rank.
    """
    x_shape, y_shape = network.tensor(operator, 0).shape, network.result(operator).shape
    if len(x_shape) != 4:
        raise network.refusal(operator, f"its input is {list(x_shape)}; kernels take rows, columns and channels")
    x, y = (x_shape[1], x_shape[2], x_shape[3]), (y_shape[1], y_shape[2], y_shape[3])
    strides = (network.option(operator, "stride_h"), network.option(operator, "stride_w"))
    dilations = (1, 1)
    if "dilation_h_factor" in operator.options:
        dilations = (network.option(operator, "dilation_h_factor"), network.option(operator, "dilation_w_factor"))
    is_same = network.option(operator, "padding") == _SAME
    pads = [
        max((y[i] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1 - x[i], 0) // 2 if is_same else 0
        for i in range(2)
    ]
    return Windows(x, y, kernel, strides, dilations, (pads[0], pads[1]))


def find_pool(operator: TfOperator, network: Lowering) -> tuple[Windows, dict[str, int | str]]:
    """Returns the windows of a pool, and what its kernels take of them as literals."""
    kernel = (network.option(operator, "filter_height"), network.option(operator, "filter_width"))
    windows = find_windows(operator, network, kernel)
    return windows, {
        "in_columns": windows.x[1],
        "out_columns": windows.y[1],
        "depth": windows.y[2],
        "kernel_rows": kernel[0],
        "kernel_columns": kernel[1],
        "stride_rows": windows.strides[0],
        "stride_columns": windows.strides[1],
        "pad_left": windows.pads[1],
    }
