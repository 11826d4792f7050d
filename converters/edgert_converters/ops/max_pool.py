"""MaxPool over any number of spatial dimensions; padding never wins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_int, get_ints, require_input
from edgert_converters.ops.pooling_tflite import read_max_pool, write_max_pool
from edgert_converters.ops.q31 import move_q31
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule
from edgert_converters.ops.windows import Windows, pad_spatial, resolve_windows, view_windows

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the largest value of each window, for float and integer inputs, and where it stands if that is used.

    Of equal values the first in row-major order wins.
    """
    x = require_input(node, inputs, 0)
    windows = resolve_windows(node, x.shape[2:], get_ints(node, "kernel_shape", ()))
    lowest = -np.inf if np.issubdtype(x.dtype, np.floating) else np.iinfo(x.dtype).min
    view = view_windows(pad_spatial(x, windows, lowest), windows)
    largest = view.max(axis=tuple(range(-len(windows.kernel), 0)))
    if len(node.output_shapes) < 2:
        return [largest]
    # padding must lose to every value, also to an integer type's smallest
    wide = view_windows(pad_spatial(x.astype(np.float64), windows, -np.inf), windows)
    return [largest, _flat_indices(node, wide, windows, x.shape)]


def _flat_indices(node: Node, view: Array, windows: Windows, shape: tuple[int, ...]) -> Array:
    """Returns the position of each window's largest value in the whole flattened input, int64[N, C, output...].

    storage_order 1 counts the spatial axes with the first running fastest.
    """
    rank = len(windows.kernel)
    best = view.reshape(*view.shape[: 2 + rank], -1).argmax(axis=-1)
    taps = np.unravel_index(best, windows.kernel)
    starts = np.ogrid[tuple(slice(n) for n in windows.output)]
    axes = range(rank) if get_int(node, "storage_order", 0) == 0 else reversed(range(rank))
    plane = np.zeros(best.shape, np.int64)
    for axis in axes:
        start = starts[axis] * windows.strides[axis] - windows.pads_before[axis]
        plane = plane * shape[2 + axis] + start + taps[axis] * windows.dilations[axis]
    first = np.arange(shape[0] * shape[1]).reshape(shape[0], shape[1], *(1,) * rank)
    result: Array = plane + first * int(np.prod(shape[2:], dtype=np.int64))
    return result


_X = normal(2, 3, 9, 8, seed=1)
CASES = (
    Case("2x2", (_X,), {"kernel_shape": (2, 2), "strides": (2, 2)}),
    Case("padded", (_X,), {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}),
    Case("ceil", (_X,), {"kernel_shape": (2, 3), "strides": (2, 2), "ceil_mode": 1}),
    Case("same_upper", (_X,), {"kernel_shape": (3, 3), "strides": (2, 2), "auto_pad": "SAME_UPPER"}),
    Case("1d", (normal(1, 3, 17, seed=2),), {"kernel_shape": (3,), "strides": (2,)}),
    Case("3d", (normal(1, 2, 5, 6, 4, seed=3),), {"kernel_shape": (2, 3, 2), "strides": (1, 2, 2)}),
    Case("dilated", (_X,), {"kernel_shape": (2, 3), "dilations": (3, 2)}),
    Case("indices", (_X,), {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 0, 1, 1)}, (), 2),
    Case("column_major", (_X,), {"kernel_shape": (2, 3), "storage_order": 1}, (), 2),
)

SPEC = Operator(
    op_type="MaxPool",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.KEEPS,
    cases=CASES,
    integer=move_integers(reference),
    integer_q31=move_q31(reference),
    from_tflite={"MAX_POOL_2D": read_max_pool},
    to_tflite=write_max_pool,
    onnxruntime_int8=True,
)
