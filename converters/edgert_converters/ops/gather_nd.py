"""GatherND: slices of x named by index tuples along the last axis of the indices."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.gather_tflite import read_gather_nd, write_gather_nd
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the slices; the first `batch_dims` axes of x and of the indices go together."""
    x, index = require_input(node, inputs, 0), require_input(node, inputs, 1).astype(np.int64)
    batch = get_int(node, "batch_dims", 0)
    groups = int(np.prod(index.shape[:batch], dtype=np.int64))
    folded = x.reshape(groups, *x.shape[batch:])
    tuples = index.reshape(groups, *index.shape[batch:])
    own = np.arange(groups).reshape(-1, *(1,) * (tuples.ndim - 2))
    found = folded[(own, *np.moveaxis(tuples, -1, 0))]
    return [found.reshape(*index.shape[:batch], *found.shape[1:])]


CASES = (
    Case("elements", (normal(3, 4, seed=1), ints(0, 1, -1, 2).reshape(2, 2)), {}, (1,)),
    Case("slices", (normal(3, 4, 2, seed=2), ints(2, 0, 1).reshape(3, 1, 1)), {}, (1,)),
    Case("batch_dims", (normal(2, 4, 3, seed=3), ints(1, 3).reshape(2, 1)), {"batch_dims": 1}, (1,)),
)

SPEC = Operator(
    op_type="GatherND",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    from_tflite={"GATHER_ND": read_gather_nd},
    to_tflite=write_gather_nd,
)
