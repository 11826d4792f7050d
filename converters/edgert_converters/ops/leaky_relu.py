"""LeakyRelu: x above zero, alpha * x below; the integer rule is float32 element by element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_float, require_input
from edgert_converters.ops.rules import elementwise_float32, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x where x >= 0, else f32(alpha) * x."""
    x = require_input(node, inputs, 0)
    alpha = x.dtype.type(get_float(node, "alpha", 0.01))
    return [np.where(x >= 0, x, x * alpha)]


_X = normal(2, 3, 5, 7, seed=1)
CASES = (Case("default", (_X,)), Case("alpha", (_X,), {"alpha": 0.1}))

SPEC = Operator(
    op_type="LeakyRelu",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.KEEPS,
    cases=CASES,
    integer=elementwise_float32(reference),
    onnxruntime_int8=True,
)
