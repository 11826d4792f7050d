"""Sliding windows in any number of spatial dimensions: resolved padding, output sizes, exact sums over windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_int, get_ints, get_str
from edgert_converters.ops.spec import Array, Node

__all__ = ["Windows", "as_row", "count_taken", "pad_spatial", "resolve_windows", "view_windows"]


@dataclass(frozen=True, slots=True)
class Windows:
    """Kernel, strides and dilations per spatial dimension with padding before and after resolved to numbers.

    `pads_after` may be larger than the model says (ceil_mode) or negative (input rows that no window reaches).
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads_before: tuple[int, ...]
    pads_after: tuple[int, ...]
    declared_after: tuple[int, ...]
    output: tuple[int, ...]


def as_row(windows: Windows) -> Windows:
    """Returns windows over one axis as windows over a plane of height 1."""
    return Windows(
        (1, *windows.kernel),
        (1, *windows.strides),
        (1, *windows.dilations),
        (0, *windows.pads_before),
        (0, *windows.pads_after),
        (0, *windows.declared_after),
        (1, *windows.output),
    )


def resolve_windows(node: Node, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> Windows:
    """Returns the windows of a convolution or pooling node over an input with `spatial` sizes.

    Raises:
        ModelError: auto_pad has an unknown value or the kernel does not fit.
    """
    rank = len(spatial)
    strides = get_ints(node, "strides", (1,) * rank)
    dilations = get_ints(node, "dilations", (1,) * rank)
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    before, declared = _resolve_pads(node, spatial, strides, reach)
    ceil_mode = get_int(node, "ceil_mode", 0) == 1
    output = tuple(
        _output_size(size, first, last, r, s, ceil_mode)
        for size, first, last, r, s in zip(spatial, before, declared, reach, strides, strict=True)
    )
    if min(output, default=1) < 1:
        raise ModelError(f"kernel {kernel} does not fit an input of {spatial}", node=node.name)
    after = tuple(
        (o - 1) * s + r - size - first
        for o, s, r, size, first in zip(output, strides, reach, spatial, before, strict=True)
    )
    return Windows(kernel, strides, dilations, before, after, declared, output)


def _resolve_pads(
    node: Node, spatial: tuple[int, ...], strides: tuple[int, ...], reach: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    rank = len(spatial)
    auto_pad = get_str(node, "auto_pad", "NOTSET")
    if auto_pad in {"NOTSET", ""}:
        pads = get_ints(node, "pads", (0,) * (2 * rank))
        return pads[:rank], pads[rank:]
    if auto_pad == "VALID":
        return (0,) * rank, (0,) * rank
    if auto_pad not in {"SAME_UPPER", "SAME_LOWER"}:
        raise ModelError(f"auto_pad {auto_pad!r} is unknown", node=node.name)
    total = [max((-(-n // s) - 1) * s + r - n, 0) for n, s, r in zip(spatial, strides, reach, strict=True)]
    small = tuple(t // 2 for t in total)
    large = tuple(t - t // 2 for t in total)
    return (small, large) if auto_pad == "SAME_UPPER" else (large, small)


def _output_size(size: int, before: int, after: int, reach: int, stride: int, ceil_mode: bool) -> int:
    span = size + before + after - reach
    if not ceil_mode:
        return span // stride + 1
    output = -(-span // stride) + 1
    # a last window that would start in the padding after the input is dropped
    return output - 1 if (output - 1) * stride >= size + before else output


def pad_spatial(x: Array, windows: Windows, fill: float) -> Array:
    """Returns `x` [N, C, spatial...] padded (or cut) so that the windows tile it exactly; mutates nothing."""
    width = [(0, 0), (0, 0)]
    width += [(b, max(a, 0)) for b, a in zip(windows.pads_before, windows.pads_after, strict=True)]
    padded = np.pad(x, width, constant_values=fill) if any(b or a for b, a in width) else x
    cuts = tuple(slice(None, a if a < 0 else None) for a in windows.pads_after)
    result: Array = padded[(slice(None), slice(None), *cuts)]
    return result


def view_windows(padded: Array, windows: Windows) -> Array:
    """Returns a read-only view [N, C, output..., kernel...] of a padded input."""
    rank = len(windows.kernel)
    axes = tuple(range(2, 2 + rank))
    reach = tuple((k - 1) * d + 1 for k, d in zip(windows.kernel, windows.dilations, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=axes)
    starts = tuple(slice(None, None, s) for s in windows.strides)
    taps = tuple(slice(None, None, d) for d in windows.dilations)
    result: Array = view[(slice(None), slice(None), *starts, *taps)]
    return result


def count_taken(node: Node, spatial: tuple[int, ...], windows: Windows) -> NDArray[np.int64]:
    """Returns the number of elements each window of an AveragePool averages, shaped [output...].

    `count_include_pad` = 1 counts declared padding, never what ceil_mode adds.
    """
    include = get_int(node, "count_include_pad", 0) == 1
    per_axis = []
    for axis, size in enumerate(spatial):
        first = -windows.pads_before[axis] if include else 0
        last = size + windows.declared_after[axis] if include else size
        starts = np.arange(windows.output[axis]) * windows.strides[axis] - windows.pads_before[axis]
        taps = starts[:, None] + np.arange(windows.kernel[axis]) * windows.dilations[axis]
        per_axis.append(((taps >= first) & (taps < last)).sum(axis=1))
    counts: NDArray[np.int64] = per_axis[0].astype(np.int64)
    for more in per_axis[1:]:
        counts = counts[..., None] * more
    return counts
