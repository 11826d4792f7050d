"""Dropout at inference: x unchanged and a mask of ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule
from edgert_converters.tflite.moves import keep

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x, and where it is asked for the mask."""
    x = require_input(node, inputs, 0)
    return [x, np.ones(x.shape, np.bool_)][: max(len(node.output_shapes), 1)]


SPEC = Operator(
    op_type="Dropout",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.KEEPS,
    cases=(Case("plain", (normal(2, 3, seed=1),)),),
    integer=move_integers(reference),
    onnxruntime_int8=True,
    to_tflite=keep,
)
