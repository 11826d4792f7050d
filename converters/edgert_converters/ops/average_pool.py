"""AveragePool over any number of spatial dimensions.

`count_include_pad` = 1 counts the padding that the model declares as zeros (integer zero points), never the extra
elements that ceil_mode adds; 0 divides by the elements of the input inside the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams, multiplier_q31, requantize_q31
from edgert_converters.ops.attributes import get_ints, require_input
from edgert_converters.ops.averaging import mean_of_integers
from edgert_converters.ops.pooling_tflite import read_average_pool, write_average_pool
from edgert_converters.ops.q31 import centred_integers, scale_of
from edgert_converters.ops.rules import count_outputs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule
from edgert_converters.ops.windows import Windows, count_taken, pad_spatial, resolve_windows, view_windows

__all__ = ["SPEC"]


def macs(node: Node) -> int:
    """Returns one addition per window element."""
    return count_outputs(node) * int(np.prod(get_ints(node, "kernel_shape", ()), dtype=np.int64))


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the mean of each window, summed in float64 and rounded once to x's type."""
    x = require_input(node, inputs, 0)
    windows = resolve_windows(node, x.shape[2:], get_ints(node, "kernel_shape", ()))
    total = _sum_windows(x.astype(np.float64), windows)
    return [(total / count_taken(node, x.shape[2:], windows)).astype(x.dtype)]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns rint(f32(acc - n * zp_x) * f32(s_x / f32(s_y * n))) + zp_y, n counted per window."""
    x = require_input(node, inputs, 0)
    windows = resolve_windows(node, x.values.shape[2:], get_ints(node, "kernel_shape", ()))
    acc = _sum_windows(x.values.astype(np.int64) - x.params.zero_point[0], windows)
    return [mean_of_integers(acc, count_taken(node, x.values.shape[2:], windows), x.params, outputs[0])]


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the mean of the integers, rounded half away from zero, where the parameters stay.

    Other output parameters are what the exporter writes: a depthwise convolution of ones with scale 1 / n.
    """
    x = require_input(node, inputs, 0)
    windows = resolve_windows(node, x.values.shape[2:], get_ints(node, "kernel_shape", ()))
    counts = count_taken(node, x.values.shape[2:], windows)
    params = outputs[0]
    if params != x.params:
        scale = np.float32(1) / counts.astype(np.float32)
        real = np.float64(scale_of(x.params)) * scale.astype(np.float64) / np.float64(scale_of(params))
        acc = _sum_windows(centred_integers(x), windows)
        return [QTensor(requantize_q31(acc, *multiplier_q31(real), params), params)]
    padding = _sum_windows(np.ones(x.values.shape, np.int64), windows)
    # padding that is counted holds the zero point
    acc = _sum_windows(x.values.astype(np.int64), windows) + (counts - padding) * params.zero_point[0]
    half = np.where(acc > 0, counts // 2, -(counts // 2))
    mean = np.sign(acc + half) * (np.abs(acc + half) // counts)
    return [QTensor(mean.astype(params.dtype.numpy), params)]


def _sum_windows(x: NDArray[Any], windows: Windows) -> NDArray[Any]:  # Any: float64 or int64
    view = view_windows(pad_spatial(x, windows, 0), windows)
    total: NDArray[Any] = view.sum(axis=tuple(range(-len(windows.kernel), 0)))
    return total


_X = normal(2, 3, 9, 8, seed=1)
CASES = (
    Case("2x2", (_X,), {"kernel_shape": (2, 2), "strides": (2, 2)}),
    Case("exclude_pad", (_X,), {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}),
    Case("include_pad", (_X,), {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1), "count_include_pad": 1}),
    Case("ceil", (_X,), {"kernel_shape": (2, 3), "strides": (2, 2), "ceil_mode": 1}),
    Case("global_by_kernel", (normal(1, 8, 8, 8, seed=2),), {"kernel_shape": (8, 8), "strides": (8, 8)}),
    Case("3d", (normal(1, 2, 5, 6, 4, seed=4),), {"kernel_shape": (2, 3, 2), "strides": (1, 2, 2)}),
    Case("1d", (normal(1, 3, 17, seed=3),), {"kernel_shape": (4,), "strides": (2,)}),
)

SPEC = Operator(
    op_type="AveragePool",
    macs=macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.KEEPS,
    cases=CASES,
    integer=integer,
    integer_q31=integer_q31,
    from_tflite={"AVERAGE_POOL_2D": read_average_pool},
    to_tflite=write_average_pool,
    onnxruntime_int8=True,
)
