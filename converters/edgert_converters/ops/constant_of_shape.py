"""ConstantOfShape: one value repeated to a given shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints
from edgert_converters.ops.shape_tflite import write_constant
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the filled tensor; 0.0 where the node gives no value."""
    value = np.asarray(node.attributes.get("value", np.zeros(1, np.float32)))
    sizes = [int(d) for d in require_input(node, inputs, 0)]
    return [np.full(sizes, value.reshape(-1)[0], value.dtype)]


CASES = (
    Case("zeros", (ints(2, 3),)),
    Case("int64", (ints(2, 3),), {"value": ints(7)}),
)

SPEC = Operator(
    op_type="ConstantOfShape",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    to_tflite=write_constant(reference),
)
