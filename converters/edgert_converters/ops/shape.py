"""Shape: the sizes of x as int64, optionally from `start` to `end`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.shape_tflite import read_shape, write_shape
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the sizes."""
    sizes = np.asarray(require_input(node, inputs, 0).shape, np.int64)
    return [sizes[get_int(node, "start", 0) : get_int(node, "end", sizes.size)]]


_X = normal(2, 3, 4, seed=1)
CASES = (Case("all", (_X,)), Case("part", (_X,), {"start": -2, "end": 3}))

SPEC = Operator(
    op_type="Shape",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    from_tflite={"SHAPE": read_shape},
    to_tflite=write_shape,
)
