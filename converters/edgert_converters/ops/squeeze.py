"""Squeeze: axes as attribute (to opset 12) or input; without them every axis of size 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import read_axes, require_input
from edgert_converters.ops.reshape_tflite import read_squeeze, write_reshape
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x without the axes."""
    x = require_input(node, inputs, 0)
    return [np.squeeze(x, axis=read_axes(node, inputs, x.ndim))]


CASES = (
    Case("axes", (normal(1, 3, 1, 4, seed=1), ints(0, -2)), {}, (1,)),
    Case("all", (normal(1, 3, 1, 4, seed=2),)),
)

SPEC = Operator(
    op_type="Squeeze",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
    from_tflite={"SQUEEZE": read_squeeze},
    to_tflite=write_reshape,
)
