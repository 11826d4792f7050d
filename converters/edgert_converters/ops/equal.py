"""Equal with numpy broadcasting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns a == b."""
    return [np.asarray(require_input(node, inputs, 0) == require_input(node, inputs, 1))]


SPEC = Operator(
    op_type="Equal",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.JOINS,
    cases=(Case("int64", (ints(1, 2, 3), ints(1, 5, 3))),),
)
