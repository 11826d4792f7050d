"""RoiAlign: bilinear samples of regions of a feature map, averaged or maximised per bin. Float on the host."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.attributes import get_float, get_int, get_str, require_input
from edgert_converters.ops.rules import count_outputs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]

Float64 = NDArray[np.float64]
Samples = tuple[NDArray[np.int64], NDArray[np.int64], Float64, Float64]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns [regions, C, output_height, output_width].

    `max` takes the largest weighted corner of all samples of a bin, as the operator's definition has it.
    """
    x, regions, batches = (require_input(node, inputs, i) for i in range(3))
    size = (get_int(node, "output_height", 1), get_int(node, "output_width", 1))
    result = np.zeros((len(regions), x.shape[1], *size), np.float64)
    wide = x.astype(np.float64)
    for index, (region, batch) in enumerate(zip(regions.astype(np.float64), batches.reshape(-1), strict=True)):
        result[index] = _pool(node, wide[int(batch)], region, size)
    return [result.astype(x.dtype)]


def _pool(node: Node, x: Float64, region: Float64, size: tuple[int, int]) -> Float64:
    """Returns one region [C, output_height, output_width] of one sample [C, H, W]."""
    default = "half_pixel" if node.opset >= 16 else "output_half_pixel"
    aligned = get_str(node, "coordinate_transformation_mode", default) == "half_pixel"
    corners = region * get_float(node, "spatial_scale", 1.0) - (0.5 if aligned else 0.0)
    top, height = _axis_samples(node, corners[1], corners[3], size[0], x.shape[1], aligned)
    left, width = _axis_samples(node, corners[0], corners[2], size[1], x.shape[2], aligned)
    if not height or not width:
        return np.zeros((x.shape[0], *size))
    parts = []
    for row, row_weight in ((top[0], top[2]), (top[1], top[3])):
        for column, column_weight in ((left[0], left[2]), (left[1], left[3])):
            weight = row_weight[:, None] * column_weight[None, :]
            parts.append((x[:, row[:, None], column[None, :]] * weight).reshape(-1, size[0], height, size[1], width))
    if get_str(node, "mode", "avg").lower() == "avg":
        total: Float64 = (parts[0] + parts[1] + parts[2] + parts[3]).sum(axis=(2, 4)) / (height * width)
        return total
    largest: Float64 = np.maximum.reduce(parts).max(axis=(2, 4))
    return largest


def _axis_samples(node: Node, start: float, end: float, bins: int, length: int, aligned: bool) -> tuple[Samples, int]:
    """Returns lower and upper index and their weights for every sample on one axis, and the samples per bin."""
    extent = end - start if aligned else max(end - start, 1.0)
    ratio = get_int(node, "sampling_ratio", 0)
    count = ratio if ratio > 0 else max(int(np.ceil(extent / bins)), 0)
    step = extent / bins
    offsets = (np.arange(count) + 0.5) * step / max(count, 1)
    position = (start + np.arange(bins)[:, None] * step + offsets).reshape(-1)
    outside = (position < -1.0) | (position > length)
    inside = np.clip(position, 0, length - 1)
    low = np.floor(inside).astype(np.int64)
    late = np.where(outside, 0.0, inside - low)
    early = np.where(outside, 0.0, 1.0 - (inside - low))
    return (low, np.minimum(low + 1, length - 1), early, late), count


_X = normal(2, 3, 10, 12, seed=1)
_REGIONS = np.asarray([[0.5, 1, 7.5, 8], [2, 3, 4, 4.5], [-2, -1, 14, 9]], np.float32)
_INPUTS = (_X, _REGIONS, ints(0, 1, 1))
_SIZE = {"output_height": 3, "output_width": 2}
CASES = (
    Case("half_pixel", _INPUTS, {**_SIZE, "sampling_ratio": 2}),
    Case("adaptive", _INPUTS, {**_SIZE, "spatial_scale": 0.5, "coordinate_transformation_mode": "output_half_pixel"}),
    Case("max", _INPUTS, {**_SIZE, "sampling_ratio": 2, "mode": "max"}),
)

SPEC = Operator(
    op_type="RoiAlign",
    macs=count_outputs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.KEEPS,
    cases=CASES,
    note="float on the host",
)
