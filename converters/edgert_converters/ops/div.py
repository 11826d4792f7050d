"""Div with numpy broadcasting; integers truncate towards zero.

Integer rule: dequantize, divide in float32, quantize.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.rules import elementwise_float32, no_macs
from edgert_converters.ops.samples import ints, normal, positive
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns a / b."""
    a, b = require_input(node, inputs, 0), require_input(node, inputs, 1)
    if np.issubdtype(a.dtype, np.floating):
        with np.errstate(divide="ignore", invalid="ignore"):
            return [np.asarray(a / b)]
    return [np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)), a.dtype)]


CASES = (
    Case("constant", (normal(2, 5, 7, seed=1), positive(5, 1, seed=2)), {}, (1,)),
    Case("shapes_int64", (ints(7, -7, 9), ints(2, 2, 3))),
)

SPEC = Operator(
    op_type="Div",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.JOINS,
    cases=CASES,
    integer=elementwise_float32(reference),
)
