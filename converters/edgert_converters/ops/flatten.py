"""Flatten to a matrix: axes before `axis` become rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_int, normalise_axis, require_input
from edgert_converters.ops.reshape_tflite import write_reshape
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the values as a matrix."""
    x = require_input(node, inputs, 0)
    axis = normalise_axis(get_int(node, "axis", 1), x.ndim)
    rows = int(np.prod(x.shape[:axis], dtype=np.int64))
    return [x.reshape(rows, int(np.prod(x.shape[axis:], dtype=np.int64)))]


_X = normal(2, 3, 4, seed=1)
CASES = (Case("default", (_X,)), Case("axis_2", (_X,), {"axis": 2}))

SPEC = Operator(
    op_type="Flatten",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
    to_tflite=write_reshape,
)
