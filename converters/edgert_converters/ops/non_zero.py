"""NonZero: the positions of the values other than zero, one row per axis; only the data says how many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.index_tflite import INDEX_READERS
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns int64[rank, count] in row-major order."""
    x = np.atleast_1d(require_input(node, inputs, 0))
    return [np.asarray(np.stack(np.nonzero(x)), np.int64)]


SPEC = Operator(
    op_type="NonZero",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=(Case("float", (np.rint(normal(3, 4, seed=1)),)), Case("int64", (ints(0, 3, 0, 1),))),
    note="gives as many positions as the data has",
    from_tflite=INDEX_READERS["NonZero"],
)
