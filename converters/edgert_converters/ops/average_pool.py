"""AveragePool over any number of spatial dimensions.

`count_include_pad` = 1 counts the padding that the model declares as zeros (integer zero points), never the extra
elements that ceil_mode adds; 0 divides by the elements of the input inside the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_int, get_ints, require_input
from edgert_converters.ops.averaging import mean_of_integers
from edgert_converters.ops.rules import count_outputs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule
from edgert_converters.ops.windows import Windows, pad_spatial, resolve_windows, view_windows

__all__ = ["SPEC"]


def macs(node: Node) -> int:
    """Returns one addition per window element."""
    return count_outputs(node) * int(np.prod(get_ints(node, "kernel_shape", ()), dtype=np.int64))


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the mean of each window, summed in float64 and rounded once to x's type."""
    x = require_input(node, inputs, 0)
    windows = resolve_windows(node, x.shape[2:], get_ints(node, "kernel_shape", ()))
    total = _sum_windows(x.astype(np.float64), windows)
    return [(total / _counts(node, x.shape[2:], windows)).astype(x.dtype)]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns rint(f32(acc - n * zp_x) * f32(s_x / f32(s_y * n))) + zp_y, n counted per window."""
    x = require_input(node, inputs, 0)
    windows = resolve_windows(node, x.values.shape[2:], get_ints(node, "kernel_shape", ()))
    acc = _sum_windows(x.values.astype(np.int64) - x.params.zero_point[0], windows)
    return [mean_of_integers(acc, _counts(node, x.values.shape[2:], windows), x.params, outputs[0])]


def _sum_windows(x: NDArray[Any], windows: Windows) -> NDArray[Any]:  # Any: float64 or int64
    view = view_windows(pad_spatial(x, windows, 0), windows)
    total: NDArray[Any] = view.sum(axis=tuple(range(-len(windows.kernel), 0)))
    return total


def _counts(node: Node, spatial: tuple[int, ...], windows: Windows) -> NDArray[np.int64]:
    """Returns the number of elements each window averages, shaped like the output's spatial dimensions."""
    include = get_int(node, "count_include_pad", 0) == 1
    per_axis = []
    for axis, size in enumerate(spatial):
        first = -windows.pads_before[axis] if include else 0
        last = size + windows.declared_after[axis] if include else size
        starts = np.arange(windows.output[axis]) * windows.strides[axis] - windows.pads_before[axis]
        taps = starts[:, None] + np.arange(windows.kernel[axis]) * windows.dilations[axis]
        per_axis.append(((taps >= first) & (taps < last)).sum(axis=1))
    counts: NDArray[np.int64] = per_axis[0].astype(np.int64)
    for more in per_axis[1:]:
        counts = counts[..., None] * more
    return counts


_X = normal(2, 3, 9, 8, seed=1)
CASES = (
    Case("2x2", (_X,), {"kernel_shape": (2, 2), "strides": (2, 2)}),
    Case("exclude_pad", (_X,), {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1)}),
    Case("include_pad", (_X,), {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1), "count_include_pad": 1}),
    Case("ceil", (_X,), {"kernel_shape": (2, 3), "strides": (2, 2), "ceil_mode": 1}),
    Case("global_by_kernel", (normal(1, 8, 8, 8, seed=2),), {"kernel_shape": (8, 8), "strides": (8, 8)}),
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
    onnxruntime_int8=True,
)
