"""Where with numpy broadcasting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.pairs_tflite import PAIR_READERS, PAIR_WRITERS
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x where the condition holds, else y."""
    condition, x, y = (require_input(node, inputs, i) for i in range(3))
    return [np.where(condition, x, y)]


_CONDITION = ints(1, 0, 1, 0) == 1
CASES = (Case("broadcast", (_CONDITION, normal(3, 4, seed=1), normal(1, seed=2))),)

SPEC = Operator(
    op_type="Where",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.JOINS,
    cases=CASES,
    from_tflite=PAIR_READERS["Where"],
    to_tflite=PAIR_WRITERS["Where"],
)
