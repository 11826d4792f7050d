"""Tile: repeats x along each axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.shape_tflite import read_tile, write_tile
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the repeated x."""
    x, repeats = require_input(node, inputs, 0), require_input(node, inputs, 1)
    return [np.tile(x, [int(n) for n in repeats.reshape(-1)])]


CASES = (
    Case("each_axis", (normal(2, 3, 4, seed=1), ints(2, 1, 3)), {}, (1,)),
    Case("once", (normal(2, 3, seed=2), ints(1, 1)), {}, (1,)),
)

SPEC = Operator(
    op_type="Tile",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
    from_tflite={"TILE": read_tile},
    to_tflite=write_tile,
)
