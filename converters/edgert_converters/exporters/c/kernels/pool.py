"""AVERAGE_POOL_2D."""

from __future__ import annotations

from edgert_converters.exporters.c.kernels.windows import find_windows
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_average_pool"]


def lower_average_pool(operator: TfOperator, network: Lowering) -> None:
    """Adds the mean of windows of int8."""
    kernel = (network.option(operator, "filter_height"), network.option(operator, "filter_width"))
    windows = find_windows(operator, network, kernel)
    x, y = network.quant(operator, network.tensor(operator, 0)), network.quant(operator, network.result(operator))
    low, high = network.clamp(operator, y)
    if network.mode is Requantize.FP32:
        raise network.refusal(operator, "no kernel for fp32 mode yet")
    if x != y:
        raise network.refusal(operator, "its output has other parameters than its input")
    literals = {
        "in_columns": windows.x[1],
        "out_columns": windows.y[1],
        "depth": windows.y[2],
        "kernel_rows": kernel[0],
        "kernel_columns": kernel[1],
        "stride_rows": windows.strides[0],
        "stride_columns": windows.strides[1],
        "pad_left": windows.pads[1],
        "low": low,
        "high": high,
    }
    network.add(operator, Call("average_pool_q31", "pool", windows.arguments(), literals), rows=windows.rows)
