"""MaxUnpool: puts pooled values back where MaxPool's indices say they came from; zero elsewhere. Float only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_ints, require_input
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the unpooled tensor.

    Indices count through the shape that kernel, strides and pads give; a larger output_shape is filled up with zeros.
    """
    x, indices = require_input(node, inputs, 0), require_input(node, inputs, 1)
    kernel = get_ints(node, "kernel_shape", ())
    rank = len(kernel)
    strides = get_ints(node, "strides", (1,) * rank)
    pads = get_ints(node, "pads", (0,) * (2 * rank))
    sizes = zip(x.shape[2:], strides, kernel, pads[:rank], pads[rank:], strict=True)
    inferred = (*x.shape[:2], *((n - 1) * s + k - before - after for n, s, k, before, after in sizes))
    flat = np.zeros(int(np.prod(inferred)), x.dtype)
    flat[indices.reshape(-1)] = x.reshape(-1)
    wanted = inputs[2] if len(inputs) > 2 else None
    if wanted is None:
        return [flat.reshape(inferred)]
    result = np.zeros(tuple(int(n) for n in wanted), x.dtype)
    result[tuple(slice(n) for n in inferred)] = flat.reshape(inferred)
    return [result]


def _indices() -> Array:
    """Returns where 2 x 2 windows of [1, 2, 4, 6] could have their largest element."""
    corners = np.arange(0, 48, 1).reshape(1, 2, 4, 6)[:, :, ::2, ::2]
    return corners + np.asarray([0, 1, 6, 7, 0, 1] * 2, np.int64).reshape(1, 2, 2, 3)


_X = normal(1, 2, 2, 3, seed=1)
_WINDOW = {"kernel_shape": (2, 2), "strides": (2, 2)}
CASES = (
    Case("2x2", (_X, _indices()), _WINDOW),
    Case("output_shape", (_X, _indices(), ints(1, 2, 4, 6)), _WINDOW, (2,)),
)

SPEC = Operator(
    op_type="MaxUnpool",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.KEEPS,
    cases=CASES,
)
