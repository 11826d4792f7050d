"""ConvTranspose in float: each input element adds a scaled kernel to the output. It has no integer rule yet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert_converters.ops.attributes import get_int, get_ints, get_str, require_input
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def macs(node: Node) -> int:
    """Returns input elements times kernel size times output channels per group."""
    x, w = node.input_shapes[0], node.input_shapes[1]
    if x is None or w is None:
        return 0
    return int(np.prod(x, dtype=np.int64)) * int(np.prod(w[1:], dtype=np.int64))


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the transposed convolution, accumulated in float64 and rounded once to x's type."""
    x, w = require_input(node, inputs, 0), require_input(node, inputs, 1)
    rank = x.ndim - 2
    strides = get_ints(node, "strides", (1,) * rank)
    dilations = get_ints(node, "dilations", (1,) * rank)
    groups = get_int(node, "group", 1)
    reach = tuple((k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True))
    full = tuple((n - 1) * s + r for n, s, r in zip(x.shape[2:], strides, reach, strict=True))
    before, size = _crop(node, x.shape[2:], strides, full)
    room = tuple(max(f, b + n) for f, b, n in zip(full, before, size, strict=True))
    total = np.zeros((x.shape[0], groups, w.shape[1], *room), np.float64)
    grouped = x.astype(np.float64).reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
    weights = w.astype(np.float64).reshape(groups, w.shape[0] // groups, *w.shape[1:])
    for tap in np.ndindex(*w.shape[2:]):
        part = np.einsum("ngi...,gio->ngo...", grouped, weights[(..., *tap)])
        where = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilations, x.shape[2:], strides, strict=True)
        )
        total[(slice(None), slice(None), slice(None), *where)] += part
    cut = tuple(slice(b, b + n) for b, n in zip(before, size, strict=True))
    result = total[(slice(None), slice(None), slice(None), *cut)].reshape(x.shape[0], groups * w.shape[1], *size)
    if len(inputs) > 2 and inputs[2] is not None:
        result = result + inputs[2].astype(np.float64).reshape((1, -1) + (1,) * rank)
    return [result.astype(x.dtype)]


def _crop(
    node: Node, spatial: tuple[int, ...], strides: tuple[int, ...], full: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns how much is cut before, and the output size, per spatial dimension."""
    rank = len(spatial)
    extra = get_ints(node, "output_padding", (0,) * rank)
    auto_pad = get_str(node, "auto_pad", "NOTSET")
    wanted = get_ints(node, "output_shape", ())
    if not wanted and auto_pad in {"SAME_UPPER", "SAME_LOWER"}:
        wanted = tuple(n * s for n, s in zip(spatial, strides, strict=True))
    if wanted:
        cut = [max(f + e - n, 0) for f, e, n in zip(full, extra, wanted, strict=True)]
        before = tuple(c // 2 if auto_pad == "SAME_UPPER" else c - c // 2 for c in cut)
        return before, wanted
    pads = get_ints(node, "pads", (0,) * (2 * rank))
    size = tuple(f + e - b - a for f, e, b, a in zip(full, extra, pads[:rank], pads[rank:], strict=True))
    return pads[:rank], size


_X = normal(2, 4, 5, 4, seed=1)
CASES = (
    Case("stride_2", (_X, normal(4, 3, 3, 3, seed=2), normal(3, seed=3)), {"strides": (2, 2)}, (1, 2)),
    Case(
        "pads",
        (_X, normal(4, 3, 3, 3, seed=2)),
        {"strides": (2, 2), "pads": (1, 1, 1, 1), "output_padding": (1, 1)},
        (1,),
    ),
    Case("groups", (_X[:1], normal(4, 2, 2, 2, seed=4)), {"group": 2, "strides": (2, 2)}, (1,)),
    Case("dilated", (_X, normal(4, 2, 3, 2, seed=5)), {"dilations": (2, 2)}, (1,)),
)

SPEC = Operator(
    op_type="ConvTranspose",
    macs=macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.PRODUCES,
    cases=CASES,
)
