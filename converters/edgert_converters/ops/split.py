"""Split along one axis: equal parts, `num_outputs` parts, or sizes given as attribute (to opset 12) or input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_int, input_or_attribute, require_input
from edgert_converters.ops.pack_tflite import read_unpack
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule
from edgert_converters.ops.split_tflite import read_split, read_split_v, write_split

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the parts."""
    x = require_input(node, inputs, 0)
    axis = get_int(node, "axis", 0)
    sizes = input_or_attribute(node, inputs, 1, "split")
    if sizes is None:
        parts = len(node.output_shapes)
        step = -(-x.shape[axis] // parts)
        borders = np.arange(1, parts) * step
    else:
        borders = np.cumsum(sizes.astype(np.int64))[:-1]
    return [np.ascontiguousarray(part) for part in np.split(x, borders, axis=axis)]


_X = normal(2, 7, 4, seed=1)
CASES = (
    Case("equal", (normal(2, 6, 4, seed=2),), {"axis": 1, "num_outputs": 2}, outputs=2),
    Case("sizes", (_X, ints(3, 4)), {"axis": 1}, (1,), outputs=2),
    Case("uneven", (_X,), {"axis": 1, "num_outputs": 2}, outputs=2),
)

SPEC = Operator(
    op_type="Split",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
    from_tflite={"SPLIT": read_split, "SPLIT_V": read_split_v, "UNPACK": read_unpack},
    to_tflite=write_split,
)
