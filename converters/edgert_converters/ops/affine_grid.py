"""AffineGrid: the sampling grid of an affine transformation, as GridSample reads it. Float only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def macs(node: Node) -> int:
    """Returns one row of the matrix per output number."""
    return int(np.prod(node.output_shapes[0], dtype=np.int64)) * (node.output_shapes[0][-1] + 1)


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns theta [N, rank, rank + 1] applied to the grid of `size`: [N, spatial..., rank], x before y before z."""
    theta, size = require_input(node, inputs, 0), require_input(node, inputs, 1)
    spatial = [int(n) for n in size.reshape(-1)[2:]]
    aligned = get_int(node, "align_corners", 0) == 1
    axes = [np.linspace(-1, 1, n) if aligned else (2 * np.arange(n) + 1) / n - 1 for n in spatial]
    grid = np.meshgrid(*axes, indexing="ij")
    points = np.stack([*reversed(grid), np.ones(spatial)], axis=-1)
    return [np.einsum("nij,...j->n...i", theta.astype(np.float64), points).astype(theta.dtype)]


CASES = (
    Case("2d", (normal(2, 2, 3, seed=1), ints(2, 3, 4, 5)), {}, (1,)),
    Case("2d_aligned", (normal(2, 2, 3, seed=2), ints(2, 3, 4, 5)), {"align_corners": 1}, (1,)),
    Case("3d", (normal(1, 3, 4, seed=3), ints(1, 2, 2, 3, 4)), {}, (1,)),
)

SPEC = Operator(
    op_type="AffineGrid",
    macs=macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=CASES,
)
