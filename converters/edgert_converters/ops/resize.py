"""Resize and Upsample: nearest selects values, linear interpolates one axis after another.

Integer rule: nearest moves integers. Linear dequantizes, interpolates in float32 and quantizes; over the last two axes,
with dx1 + dx2 = 1 and dy1 + dy2 = 1 and each product and sum rounded to float32 from left to right,

    y = (dx2 * dy2) * x11 + (dx1 * dy2) * x21 + (dx2 * dy1) * x12 + (dx1 * dy1) * x22

Results often lie half-way between two integers, so an engine with another order differs by one step there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_int, get_ints, get_str, input_or_attribute, require_input
from edgert_converters.ops.rules import elementwise_float32, move_integers, no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPECS"]

Float64 = NDArray[np.float64]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the resized tensor.

    Raises:
        ModelError: the mode is neither nearest nor linear, or an option is not supported.
    """
    x = require_input(node, inputs, 0)
    mode = get_str(node, "mode", "nearest")
    if mode not in {"nearest", "linear"} or get_int(node, "antialias", 0):
        raise ModelError(f"{node.op_type} with mode {mode!r} or antialias is not supported", node=node.name)
    if get_str(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        raise ModelError(f"{node.op_type} keeps no aspect ratio here; export fixed sizes", node=node.name)
    result = x
    for axis, (size, scale) in enumerate(_sizes(node, inputs, x.shape)):
        if size != x.shape[axis] or scale != 1.0:
            position = _source_positions(node, size, x.shape[axis], scale)
            result = _nearest(node, result, position, axis) if mode == "nearest" else _linear(result, position, axis)
    return [result.astype(x.dtype)]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns moved integers (nearest) or the quantized interpolation (linear)."""
    if get_str(node, "mode", "nearest") == "nearest":
        return move_integers(reference)(node, inputs, outputs)
    return elementwise_float32(_linear_float32)(node, inputs, outputs)


def _linear_float32(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the interpolation in float32 in ONNX Runtime's order, where at most the last two axes change size."""
    x = require_input(node, inputs, 0)
    sizes = _sizes(node, inputs, x.shape)
    if x.ndim < 2 or any(size != n for (size, _), n in zip(sizes[:-2], x.shape[:-2], strict=True)):
        return reference(node, inputs)
    top, bottom, (dy2, dy1) = _neighbours(node, sizes[-2], x.shape[-2])
    left, right, (dx2, dx1) = _neighbours(node, sizes[-1], x.shape[-1])
    above, below = np.take(x, top, axis=-2), np.take(x, bottom, axis=-2)
    dy1, dy2 = dy1[:, None], dy2[:, None]
    result = dx2 * dy2 * above[..., left]
    result = result + dx1 * dy2 * above[..., right]
    result = result + dx2 * dy1 * below[..., left]
    return [result + dx1 * dy1 * below[..., right]]


def _neighbours(
    node: Node, size: tuple[int, float], source: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Returns the indices before and after each output index, and their float32 weights."""
    position = np.clip(_source_positions(node, size[0], source, size[1]), 0, source - 1).astype(np.float32)
    before = np.minimum(np.floor(position).astype(np.int64), source - 1)
    after = np.minimum(before + 1, source - 1)
    single = before == after
    late = np.where(single, np.float32(0.5), np.abs(position - before.astype(np.float32)))
    early = np.where(single, np.float32(0.5), np.abs(position - after.astype(np.float32)))
    return before, after, (early, late)


def _sizes(node: Node, inputs: Sequence[Array | None], shape: tuple[int, ...]) -> list[tuple[int, float]]:
    """Returns the output size and the scale of every axis."""
    axes = [a % len(shape) for a in get_ints(node, "axes", range(len(shape)))]
    pairs = [(size, 1.0) for size in shape]
    sizes = inputs[3] if len(inputs) > 3 else None
    if sizes is not None and sizes.size:
        for axis, size in zip(axes, sizes.reshape(-1), strict=True):
            pairs[axis] = (int(size), int(size) / shape[axis])
        return pairs
    early = node.op_type == "Upsample" or node.opset < 11
    scales = input_or_attribute(node, inputs, 1 if early else 2, "scales")
    if scales is None or not scales.size:
        raise ModelError(f"{node.op_type} has neither sizes nor scales", node=node.name)
    for axis, scale in zip(axes, scales.reshape(-1), strict=True):
        pairs[axis] = (int(np.floor(shape[axis] * float(scale))), float(scale))
    return pairs


def _source_positions(node: Node, size: int, source: int, scale: float) -> Float64:
    """Returns where each output index lies on the input axis, by coordinate_transformation_mode."""
    early = node.op_type == "Upsample" or node.opset < 11
    mode = get_str(node, "coordinate_transformation_mode", "asymmetric" if early else "half_pixel")
    index = np.arange(size, dtype=np.float64)
    if mode == "asymmetric":
        return index / scale
    if mode == "align_corners":
        return index * ((source - 1) / (size - 1)) if size > 1 else np.zeros(size)
    if mode == "pytorch_half_pixel" and size == 1:
        return np.zeros(1)
    if mode == "half_pixel_symmetric":
        adjustment = size / (scale * source)
        return source / 2 * (1 - adjustment) + (index + 0.5) / scale - 0.5
    if mode in {"half_pixel", "pytorch_half_pixel"}:
        return (index + 0.5) / scale - 0.5
    raise ModelError(f"coordinate_transformation_mode {mode!r} is not supported", node=node.name)


def _nearest(node: Node, x: NDArray[Any], position: Float64, axis: int) -> NDArray[Any]:
    early = node.op_type == "Upsample" or node.opset < 11
    rounding = get_str(node, "nearest_mode", "floor" if early else "round_prefer_floor")
    index = np.clip(_round(node, rounding, position), 0, x.shape[axis] - 1).astype(np.int64)
    result: NDArray[Any] = np.take(x, index, axis=axis)
    return result


def _round(node: Node, rounding: str, position: Float64) -> Float64:
    if rounding == "floor":
        return np.floor(position)
    if rounding == "ceil":
        return np.ceil(position)
    if rounding == "round_prefer_floor":
        return np.ceil(position - 0.5)
    if rounding == "round_prefer_ceil":
        return np.floor(position + 0.5)
    raise ModelError(f"nearest_mode {rounding!r} is not supported", node=node.name)


def _linear(x: NDArray[Any], position: Float64, axis: int) -> NDArray[Any]:
    last = x.shape[axis] - 1
    inside = np.clip(position, 0, last)
    first = np.floor(inside).astype(np.int64)
    shape = [1] * x.ndim
    shape[axis] = -1
    weight = (inside - first).reshape(shape)
    wide = x.astype(np.float64)
    before = np.take(wide, first, axis=axis)
    after = np.take(wide, np.minimum(first + 1, last), axis=axis)
    result: NDArray[Any] = before * (1 - weight) + after * weight
    return result


_X = normal(1, 2, 4, 5, seed=1)
_TWICE = np.asarray([1, 1, 2, 2], np.float32)
_CASES = (
    Case(
        "nearest_twice",
        (_X, None, _TWICE),
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        (2,),
    ),
    Case("nearest_sizes", (_X, None, None, ints(1, 2, 7, 3)), {"mode": "nearest"}, (3,)),
    Case("linear_twice", (_X, None, _TWICE), {"mode": "linear"}, (2,)),
    Case(
        "linear_align_corners",
        (_X, None, None, ints(1, 2, 8, 9)),
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        (3,),
    ),
    Case(
        "linear_asymmetric",
        (_X, None, _TWICE),
        {"mode": "linear", "coordinate_transformation_mode": "asymmetric"},
        (2,),
    ),
)
_UPSAMPLE_CASES = (Case("nearest", (_X, _TWICE), {"mode": "nearest"}, (1,)),)


def _operator(op_type: str, cases: tuple[Case, ...], note: str, *, fused: bool) -> Operator:
    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=reference,
        quantization=QuantRule.SHARED,
        channels=ChannelRule.KEEPS,
        cases=cases,
        integer=integer,
        onnxruntime_int8=fused,
        note=note,
    )


SPECS: Final = (
    _operator(
        "Resize", _CASES, "nearest on integers, linear through float; no cubic, antialias or cropping", fused=True
    ),
    _operator("Upsample", _UPSAMPLE_CASES, "up to opset 9; Resize after", fused=False),
)
