"""MaxPool over any number of spatial dimensions; padding never wins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_ints, require_input
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule
from edgert_converters.ops.windows import pad_spatial, resolve_windows, view_windows

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the largest value of each window, for float and integer inputs.

    Raises:
        ModelError: the second output (indices) is used.
    """
    if len(node.output_shapes) > 1:
        raise ModelError("MaxPool's second output (indices) is not supported", node=node.name)
    x = require_input(node, inputs, 0)
    windows = resolve_windows(node, x.shape[2:], get_ints(node, "kernel_shape", ()))
    lowest = -np.inf if np.issubdtype(x.dtype, np.floating) else np.iinfo(x.dtype).min
    view = view_windows(pad_spatial(x, windows, lowest), windows)
    taps = tuple(range(-len(windows.kernel), 0))
    return [view.max(axis=taps)]


_X = normal(2, 3, 9, 8, seed=1)
CASES = (
    Case("2x2", (_X,), {"kernel_shape": (2, 2), "strides": (2, 2)}),
    Case("padded", (_X,), {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}),
    Case("ceil", (_X,), {"kernel_shape": (2, 3), "strides": (2, 2), "ceil_mode": 1}),
    Case("same_upper", (_X,), {"kernel_shape": (3, 3), "strides": (2, 2), "auto_pad": "SAME_UPPER"}),
    Case("1d", (normal(1, 3, 17, seed=2),), {"kernel_shape": (3,), "strides": (2,)}),
)

SPEC = Operator(
    op_type="MaxPool",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.KEEPS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
)
