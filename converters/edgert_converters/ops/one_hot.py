"""OneHot: `on` at each index along a new axis, `off` elsewhere; indices outside [-depth, depth - 1] give only `off`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_int, normalise_axis, require_input
from edgert_converters.ops.index_tflite import INDEX_READERS, INDEX_WRITERS
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the encoded indices in the type of `values`, which holds (off, on)."""
    index, depth, values = (require_input(node, inputs, i) for i in range(3))
    size = int(depth.reshape(-1)[0])
    axis = normalise_axis(get_int(node, "axis", -1), index.ndim + 1)
    position = np.expand_dims(np.where(index < 0, index + size, index), axis)
    steps = np.arange(size).reshape([-1 if a == axis else 1 for a in range(index.ndim + 1)])
    return [np.where(position == steps, values[1], values[0]).astype(values.dtype)]


_DEPTH = np.asarray(4, np.int64)
_VALUES = np.asarray([-1, 3], np.float32)
CASES = (
    Case("last_axis", (ints(0, 2, -1, 7), _DEPTH, _VALUES), {}, (1, 2)),
    Case("first_axis", (ints(0, 2, 1, 3).reshape(2, 2), _DEPTH, _VALUES), {"axis": 0}, (1, 2)),
    Case("middle_axis", (ints(0, 2, 1, 3).reshape(2, 2), _DEPTH, ints(0, 1)), {"axis": -2}, (1, 2)),
)

SPEC = Operator(
    op_type="OneHot",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    from_tflite=INDEX_READERS["OneHot"],
    to_tflite=INDEX_WRITERS["OneHot"],
)
