"""Sub with numpy broadcasting; the integer rule is dequantize, subtract in float32, quantize."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.rules import elementwise_float32, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns a - b."""
    return [np.asarray(require_input(node, inputs, 0) - require_input(node, inputs, 1))]


CASES = (
    Case("same_shape", (normal(2, 5, 7, seed=1), normal(2, 5, 7, seed=2))),
    Case("broadcast", (normal(2, 5, 7, seed=3), normal(5, 1, seed=4)), {}, (1,)),
)

SPEC = Operator(
    op_type="Sub",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.JOINS,
    cases=CASES,
    integer=elementwise_float32(reference),
)
