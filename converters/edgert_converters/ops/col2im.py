"""Col2Im: adds columns of blocks back into an image, the transpose of taking windows. Float only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_ints, require_input
from edgert_converters.ops.rules import count_outputs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the image [N, C, spatial...]; overlapping blocks are summed in float64."""
    x = require_input(node, inputs, 0)
    image, block = (tuple(int(n) for n in require_input(node, inputs, i).reshape(-1)) for i in (1, 2))
    rank = len(image)
    strides, dilations = get_ints(node, "strides", (1,) * rank), get_ints(node, "dilations", (1,) * rank)
    pads = get_ints(node, "pads", (0,) * (2 * rank))
    room = tuple(n + before + after for n, before, after in zip(image, pads[:rank], pads[rank:], strict=True))
    counts = tuple((n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(room, block, dilations, strides, strict=True))
    columns = x.astype(np.float64).reshape(x.shape[0], -1, *block, *counts)
    total = np.zeros((x.shape[0], columns.shape[1], *room))
    for tap in np.ndindex(*block):
        where = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, dilations, counts, strides, strict=True)
        )
        total[(slice(None), slice(None), *where)] += columns[(slice(None), slice(None), *tap)]
    cut = tuple(slice(before, before + n) for before, n in zip(pads[:rank], image, strict=True))
    return [total[(slice(None), slice(None), *cut)].astype(x.dtype)]


CASES = (
    Case("overlap", (normal(2, 12, 9, seed=1), ints(4, 4), ints(2, 2)), {}, (1, 2)),
    Case(
        "strides_pads",
        (normal(1, 6, 12, seed=2), ints(5, 6), ints(2, 3)),
        {"strides": (2, 1), "pads": (0, 0, 1, 0)},
        (1, 2),
    ),
    Case("dilated", (normal(1, 4, 9, seed=3), ints(5, 6), ints(2, 2)), {"dilations": (2, 3)}, (1, 2)),
)

SPEC = Operator(
    op_type="Col2Im",
    macs=count_outputs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=CASES,
)
