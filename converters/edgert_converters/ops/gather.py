"""Gather along one axis by a tensor of indices; negative ones count from the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.gather_tflite import read_gather, write_gather
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x's entries at the indices."""
    x, index = require_input(node, inputs, 0), require_input(node, inputs, 1)
    return [np.asarray(np.take(x, index.astype(np.int64), axis=get_int(node, "axis", 0)))]


CASES = (
    Case("rows", (normal(5, 4, seed=1), ints(3, -1, 0)), {}, (1,)),
    Case("axis_1", (normal(2, 5, 4, seed=2), ints(1, 4).reshape(1, 2)), {"axis": 1}, (1,)),
    Case("scalar", (ints(7, 8, 9), ints(1).reshape(())), {}, (1,)),
)

SPEC = Operator(
    op_type="Gather",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
    from_tflite={"GATHER": read_gather},
    to_tflite=write_gather,
)
