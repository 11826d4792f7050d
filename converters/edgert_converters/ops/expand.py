"""Expand: broadcasts x with a shape, both ways."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.shape_tflite import read_broadcast_to, read_fill, write_expand
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x repeated along the axes where it has one element and the shape has more."""
    x, shape = require_input(node, inputs, 0), require_input(node, inputs, 1)
    target = np.broadcast_shapes(x.shape, tuple(int(d) for d in shape.reshape(-1)))
    return [np.ascontiguousarray(np.broadcast_to(x, target)).reshape(target)]


CASES = (
    Case("more_axes", (normal(3, 1, seed=1), ints(2, 1, 6)), {}, (1,)),
    Case("smaller_shape", (normal(2, 3, 4, seed=2), ints(3, 1)), {}, (1,)),
)

SPEC = Operator(
    op_type="Expand",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
    from_tflite={"BROADCAST_TO": read_broadcast_to, "FILL": read_fill},
    to_tflite=write_expand,
)
