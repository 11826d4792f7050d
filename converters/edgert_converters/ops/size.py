"""Size: the number of elements of x as an int64 scalar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the number of elements."""
    return [np.asarray(require_input(node, inputs, 0).size, np.int64)]


SPEC = Operator(
    op_type="Size",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=(Case("plain", (normal(2, 3, 4, seed=1),)),),
)
