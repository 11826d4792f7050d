"""Where a transposed convolution cuts its full result."""

from __future__ import annotations

from edgert_converters.ops.attributes import get_ints, get_str
from edgert_converters.ops.spec import Node

__all__ = ["crop"]


def crop(
    node: Node, spatial: tuple[int, ...], strides: tuple[int, ...], full: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns how much is cut before, and the output size, per spatial dimension."""
    rank = len(spatial)
    extra = get_ints(node, "output_padding", (0,) * rank)
    auto_pad = get_str(node, "auto_pad", "NOTSET")
    wanted = get_ints(node, "output_shape", ())[-rank:]
    if not wanted and auto_pad in {"SAME_UPPER", "SAME_LOWER"}:
        wanted = tuple(n * s for n, s in zip(spatial, strides, strict=True))
    if wanted:
        cut = [max(f + e - n, 0) for f, e, n in zip(full, extra, wanted, strict=True)]
        before = tuple(c // 2 if auto_pad == "SAME_UPPER" else c - c // 2 for c in cut)
        return before, wanted
    pads = (0,) * (2 * rank) if auto_pad == "VALID" else get_ints(node, "pads", (0,) * (2 * rank))
    size = tuple(f + e - b - a for f, e, b, a in zip(full, extra, pads[:rank], pads[rank:], strict=True))
    return pads[:rank], size
