"""Unsqueeze: axes of the result as attribute (to opset 12) or input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.errors import ModelError
from edgert_converters.ops.attributes import input_or_attribute, require_input
from edgert_converters.ops.pack_tflite import read_pack
from edgert_converters.ops.reshape_tflite import read_expand_dims, write_reshape
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x with axes of size 1 added.

    Raises:
        ModelError: the axes are absent.
    """
    x = require_input(node, inputs, 0)
    axes = input_or_attribute(node, inputs, 1, "axes")
    if axes is None:
        raise ModelError("Unsqueeze has no axes", node=node.name)
    return [np.expand_dims(x, tuple(int(a) for a in axes.reshape(-1)))]


CASES = (Case("axes", (normal(3, 4, seed=1), ints(0, -1)), {}, (1,)),)

SPEC = Operator(
    op_type="Unsqueeze",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
    from_tflite={"EXPAND_DIMS": read_expand_dims, "PACK": read_pack},
    to_tflite=write_reshape,
)
