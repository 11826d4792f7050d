"""PRelu: x above zero, slope * x below, slope broadcast to x; the integer rule is float32 element by element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.rules import elementwise_float32, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x where x >= 0, else slope * x."""
    x, slope = require_input(node, inputs, 0), require_input(node, inputs, 1)
    return [np.where(x >= 0, x, x * slope)]


CASES = (Case("per_channel", (normal(2, 3, 5, 7, seed=1), normal(3, 1, 1, seed=2, spread=0.3)), {}, (1,)),)

SPEC = Operator(
    op_type="PRelu",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.KEEPS,
    cases=CASES,
    integer=elementwise_float32(reference),
)
