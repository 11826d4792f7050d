"""Pow with numpy broadcasting; the result has the type of the base."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.pairs_tflite import PAIR_READERS, PAIR_WRITERS
from edgert_converters.ops.rules import count_outputs
from edgert_converters.ops.samples import ints, normal, positive, scalar
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x to the power of y: in double precision for floats, exact for integers with whole exponents."""
    x, y = require_input(node, inputs, 0), require_input(node, inputs, 1)
    whole = np.issubdtype(x.dtype, np.integer) and np.issubdtype(y.dtype, np.integer)
    if whole and not bool(np.any(y < 0)):
        return [np.asarray(np.power(x, y.astype(x.dtype)))]
    with np.errstate(all="ignore"):
        return [np.asarray(np.power(x.astype(np.float64), y.astype(np.float64))).astype(x.dtype)]


CASES = (
    Case("square", (normal(2, 3, 5, seed=1), scalar(2)), {}, (1,)),
    Case("elementwise", (positive(2, 3, 5, seed=2), normal(3, 1, seed=3))),
    Case("int64", (ints(1, -2, 3), ints(4, 5, 0))),
    Case("whole_exponent", (normal(2, 5, seed=4), ints(0, 1, 2, 3, 4))),
)

SPEC = Operator(
    op_type="Pow",
    macs=count_outputs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.JOINS,
    cases=CASES,
    note="its exponent is a number, not an activation; a square written as Mul runs on integers",
    from_tflite=PAIR_READERS["Pow"],
    to_tflite=PAIR_WRITERS["Pow"],
)
