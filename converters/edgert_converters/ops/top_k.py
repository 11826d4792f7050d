"""TopK: the k largest or smallest values along an axis and their indices; of equal values the first comes first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_int, input_or_attribute, normalise_axis, require_input
from edgert_converters.ops.ranking_tflite import RANKING_READERS, RANKING_WRITERS
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns values and int64 indices, always in order: `sorted` = 0 leaves the order open.

    Raises:
        ModelError: k is absent or larger than the axis.
    """
    x = require_input(node, inputs, 0)
    count = input_or_attribute(node, inputs, 1, "k")
    axis = normalise_axis(get_int(node, "axis", -1), x.ndim)
    k = -1 if count is None else int(count.reshape(-1)[0])
    if not 0 <= k <= x.shape[axis]:
        found = "absent" if count is None else str(k)
        raise ModelError(f"k of TopK is {found}; the axis has {x.shape[axis]} values", node=node.name)
    if get_int(node, "largest", 1):
        # a stable sort of the flipped axis, read backwards: descending, equal values in their first order
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(x, axis), axis=axis, kind="stable"), axis)
    else:
        order = np.argsort(x, axis=axis, kind="stable")
    index = np.take(order, np.arange(k), axis=axis)
    return [np.take_along_axis(x, index, axis), index.astype(np.int64)]


_TIES = np.rint(normal(3, 9, seed=3))
CASES = (
    Case("largest", (normal(2, 9, seed=1), ints(4)), {}, (1,), outputs=2),
    Case("smallest", (normal(2, 9, 3, seed=2), ints(2)), {"axis": 1, "largest": 0}, (1,), outputs=2),
    Case("ties", (_TIES, ints(5)), {}, (1,), outputs=2),
    Case("int64", (ints(3, 1, 2), ints(2)), {}, (1,), outputs=2),
)

SPEC = Operator(
    op_type="TopK",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    note="gives indices besides values",
    from_tflite=RANKING_READERS["TopK"],
    to_tflite=RANKING_WRITERS["TopK"],
)
