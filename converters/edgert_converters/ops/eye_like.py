"""EyeLike: ones on a diagonal, zeros elsewhere, in the shape of x."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the matrix in the type `dtype`, or that of x."""
    x = require_input(node, inputs, 0)
    kind = ir.DataType(get_int(node, "dtype", 1)).numpy() if "dtype" in node.attributes else x.dtype
    return [np.eye(x.shape[0], x.shape[1], get_int(node, "k", 0), kind)]


CASES = (
    Case("float", (normal(3, 4, seed=1),), {"k": 1}),
    Case("to_int64", (normal(4, 3, seed=2),), {"dtype": 7, "k": -1}),
    Case("int64", (ints(1, 2, 3, 4).reshape(2, 2),)),
)

SPEC = Operator(
    op_type="EyeLike",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=CASES,
)
