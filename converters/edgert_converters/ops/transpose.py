"""Transpose; without `perm` the axes are reversed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_ints, require_input
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x with its axes in another order."""
    x = require_input(node, inputs, 0)
    return [np.ascontiguousarray(np.transpose(x, get_ints(node, "perm", tuple(range(x.ndim))[::-1])))]


_X = normal(2, 3, 4, 5, seed=1)
CASES = (Case("nhwc", (_X,), {"perm": (0, 2, 3, 1)}), Case("reverse", (_X,)))

SPEC = Operator(
    op_type="Transpose",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
)
