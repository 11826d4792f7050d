"""GlobalMaxPool: the largest value over all spatial dimensions of each channel; integers are compared as they are."""

from __future__ import annotations

from collections.abc import Sequence

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.q31 import move_q31
from edgert_converters.ops.reduce_tflite import global_pool_writer
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the largest value per channel, spatial dimensions kept as 1."""
    x = require_input(node, inputs, 0)
    return [x.max(axis=tuple(range(2, x.ndim)), keepdims=True)]


SPEC = Operator(
    op_type="GlobalMaxPool",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.KEEPS,
    cases=(Case("7x7", (normal(2, 40, 7, 7, seed=1),)), Case("1d", (normal(2, 5, 31, seed=2),))),
    integer=move_integers(reference),
    integer_q31=move_q31(reference),
    to_tflite=global_pool_writer("REDUCE_MAX"),
)
