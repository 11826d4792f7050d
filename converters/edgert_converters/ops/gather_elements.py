"""GatherElements: entries of x chosen one by one along an axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_int, normalise_axis, require_input
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x's entries in the shape of the indices, which may count from the end."""
    x, index = require_input(node, inputs, 0), require_input(node, inputs, 1).astype(np.int64)
    axis = normalise_axis(get_int(node, "axis", 0), x.ndim)
    position = list(np.indices(index.shape, sparse=True))
    position[axis] = np.where(index < 0, index + x.shape[axis], index)
    return [x[tuple(position)]]


CASES = (
    Case("rows", (normal(5, 3, seed=1), ints(3, -1, 0, 2, 2, 1).reshape(2, 3)), {}, (1,)),
    Case("axis_1", (normal(2, 5, seed=2), ints(1, 4, -5, 0).reshape(2, 2)), {"axis": 1}, (1,)),
)

SPEC = Operator(
    op_type="GatherElements",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
)
