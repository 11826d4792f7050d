"""Mod: the sign of the divisor by default, of the dividend with fmod = 1 (which floats need up to opset 12)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.pairs_tflite import PAIR_READERS, PAIR_WRITERS
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal, positive
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the remainder."""
    x, y = require_input(node, inputs, 0), require_input(node, inputs, 1)
    return [np.asarray(np.fmod(x, y) if get_int(node, "fmod", 0) else np.mod(x, y))]


CASES = (
    Case("sign_of_divisor", (ints(-4, 7, 5, 4, -7, 8), ints(2, -3, 8, -2, 3, 5))),
    Case("sign_of_dividend", (ints(-4, 7, 5, 4, -7, 8), ints(2, -3, 8, -2, 3, 5)), {"fmod": 1}),
    Case("float", (normal(2, 3, 4, seed=1, spread=9), positive(3, 1, seed=2)), {"fmod": 1}),
)

SPEC = Operator(
    op_type="Mod",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.JOINS,
    cases=CASES,
    from_tflite=PAIR_READERS["Mod"],
    to_tflite=PAIR_WRITERS["Mod"],
)
