"""Resize and Upsample: nearest selects values, linear and cubic interpolate one axis after another.

Integer rule: nearest moves integers. Cubic, antialias and cropping dequantize, interpolate in float64 and quantize.
Linear dequantizes, interpolates in float32 and quantizes; over the last two axes,
with dx1 + dx2 = 1 and dy1 + dy2 = 1 and each product and sum rounded to float32 from left to right,

    y = (dx2 * dy2) * x11 + (dx1 * dy2) * x21 + (dx2 * dy1) * x12 + (dx1 * dy1) * x22

Results often lie half-way between two integers, so an engine with another order differs by one step there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.ops.attributes import (
    get_float,
    get_int,
    get_ints,
    get_str,
    input_or_attribute,
    require_input,
)
from edgert_converters.ops.interpolation import (
    Resampling,
    apply_taps,
    nearest_indices,
    source_positions,
    weigh_taps,
)
from edgert_converters.ops.resize_q31 import resize_bilinear_q31
from edgert_converters.ops.resize_tflite import read_resize_bilinear, read_resize_nearest, write_resize
from edgert_converters.ops.rules import elementwise_float32, move_integers, no_macs, rescale
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import (
    Array,
    AttributeValue,
    Case,
    ChannelRule,
    Node,
    Operator,
    QTensor,
    QuantRule,
    TfliteReader,
)

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph

__all__ = ["SPECS", "linear_neighbours"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the resized tensor, interpolated in float64 and rounded once to x's type.

    Raises:
        ModelError: a mode is unknown, or there are neither scales nor sizes.
    """
    x = require_input(node, inputs, 0)
    mode = get_str(node, "mode", "nearest")
    mode = "linear" if mode == "bilinear" else mode
    if mode not in {"nearest", "linear", "cubic"}:
        raise ModelError(f"{node.op_type} has the unknown mode {mode!r}", node=node.name)
    result: NDArray[Any] = x
    plan = _resamplings(node, inputs, x.shape)
    for axis, change in enumerate(plan):
        if not change.changes:
            continue
        if mode == "nearest":
            index = nearest_indices(node, source_positions(node, change), change.source)
            result = np.take(result, index, axis=axis)
        else:
            result = apply_taps(result, axis, *weigh_taps(node, mode, change))
    return [_extrapolate(node, _to_type(result, x.dtype), plan)]


def _to_type(x: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Returns interpolated values in the input's type; integers are cut towards zero and clamped, as engines do."""
    if x.dtype == dtype or not np.issubdtype(dtype, np.integer):
        return x.astype(dtype)
    limits = np.iinfo(dtype)
    clamped: NDArray[Any] = np.clip(x, limits.min, limits.max).astype(dtype)
    return clamped


def _extrapolate(node: Node, result: NDArray[Any], plan: Sequence[Resampling]) -> NDArray[Any]:
    """Returns `result` with what tf_crop_and_resize took from outside the input replaced by extrapolation_value."""
    if get_str(node, "coordinate_transformation_mode", "") != "tf_crop_and_resize":
        return result
    for axis, change in enumerate(plan):
        position = source_positions(node, change)
        outside = (position < 0) | (position > change.source - 1)
        if change.changes and outside.any():
            shape = [1] * result.ndim
            shape[axis] = -1
            value = np.asarray(get_float(node, "extrapolation_value", 0.0), result.dtype)
            result = np.where(outside.reshape(shape), value, result)
    return result


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns moved integers (nearest) or the quantized interpolation (linear, cubic)."""
    cropped = get_str(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize"
    if get_str(node, "mode", "nearest") == "nearest" and not cropped:
        return move_integers(reference)(node, inputs, outputs)
    return elementwise_float32(_interpolate_float32)(node, inputs, outputs)


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns TensorFlow Lite's integers for a linear resize of height and width that it knows, else `integer`'s."""
    x = require_input(node, inputs, 0)
    plain = [None, *(v.values if isinstance(v, QTensor) else v for v in inputs[1:])]
    plan = _resamplings(node, plain, x.values.shape)
    place = get_str(node, "coordinate_transformation_mode", "half_pixel")
    special = get_int(node, "antialias", 0) or get_int(node, "exclude_outside", 0)
    known = place in {"half_pixel", "align_corners", "asymmetric"} and not special
    if get_str(node, "mode", "nearest") != "linear" or not known or any(change.changes for change in plan[:-2]):
        return integer(node, inputs, outputs)
    stored = x.values.astype(np.int64)
    moved = resize_bilinear_q31(stored, plan[-2], plan[-1], align=place == "align_corners", half=place == "half_pixel")
    low, high = x.params.dtype.integer_range
    values = np.clip(moved, low, high).astype(x.params.dtype.numpy)
    return [rescale(QTensor(values, x.params), outputs[0])]


def _interpolate_float32(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns linear interpolation in float32 in ONNX Runtime's order, where only the last two axes change size.

    Other forms are computed in float64: engines agree on them to a step at best.
    """
    x = require_input(node, inputs, 0)
    plan = _resamplings(node, inputs, x.shape)
    special = get_int(node, "antialias", 0) or get_int(node, "exclude_outside", 0)
    cropped = get_str(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize"
    if get_str(node, "mode", "nearest") != "linear" or special or cropped:
        return reference(node, inputs)
    if x.ndim < 2 or any(change.changes for change in plan[:-2]):
        return reference(node, inputs)
    top, bottom, (dy2, dy1) = linear_neighbours(node, plan[-2])
    left, right, (dx2, dx1) = linear_neighbours(node, plan[-1])
    above, below = np.take(x, top, axis=-2), np.take(x, bottom, axis=-2)
    dy1, dy2 = dy1[:, None], dy2[:, None]
    result = dx2 * dy2 * above[..., left]
    result = result + dx1 * dy2 * above[..., right]
    result = result + dx2 * dy1 * below[..., left]
    return [result + dx1 * dy1 * below[..., right]]


def linear_neighbours(
    node: Node, change: Resampling
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Returns the indices before and after each output index, and their float32 weights."""
    last = change.source - 1
    position = np.clip(source_positions(node, change, np.float32), 0, last)
    before = np.minimum(np.floor(position).astype(np.int64), last)
    after = np.minimum(before + 1, last)
    single = before == after
    late = np.where(single, np.float32(0.5), np.abs(position - before.astype(np.float32)))
    early = np.where(single, np.float32(0.5), np.abs(position - after.astype(np.float32)))
    return before, after, (early, late)


def _resamplings(node: Node, inputs: Sequence[Array | None], shape: tuple[int, ...]) -> list[Resampling]:
    """Returns how every axis changes."""
    axes = [a % len(shape) for a in get_ints(node, "axes", range(len(shape)))]
    plan = [Resampling(size, size, 1.0) for size in shape]
    early = node.op_type == "Upsample" or node.opset < 11
    region = inputs[1] if not early and len(inputs) > 1 else None
    bounds = np.asarray([0.0] * len(axes) + [1.0] * len(axes)) if region is None or not region.size else region
    for position, (axis, (size, scale)) in enumerate(zip(axes, _sizes(node, inputs, shape, axes), strict=True)):
        start, end = float(bounds[position]), float(bounds[position + len(axes)])
        cropped = get_str(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize"
        limits = (start, end) if cropped else (0.0, 1.0)
        plan[axis] = Resampling(shape[axis], size, scale, *limits)
    return plan


def _sizes(
    node: Node, inputs: Sequence[Array | None], shape: tuple[int, ...], axes: Sequence[int]
) -> list[tuple[int, float]]:
    """Returns the output size and the scale of each of `axes`."""
    sizes = inputs[3] if len(inputs) > 3 else None
    if sizes is not None and sizes.size:
        wanted = [int(size) for size in sizes.reshape(-1)]
        policy = get_str(node, "keep_aspect_ratio_policy", "stretch")
        ratios = [size / shape[axis] for axis, size in zip(axes, wanted, strict=True)]
        if policy == "stretch":
            return list(zip(wanted, ratios, strict=True))
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        return [(int(np.floor(ratio * shape[axis] + 0.5)), ratio) for axis in axes]
    early = node.op_type == "Upsample" or node.opset < 11
    scales = input_or_attribute(node, inputs, 1 if early else 2, "scales")
    if scales is None or not scales.size:
        raise ModelError(f"{node.op_type} has neither sizes nor scales", node=node.name)
    pairs = zip(axes, scales.reshape(-1), strict=True)
    return [(int(np.floor(shape[axis] * float(scale))), float(scale)) for axis, scale in pairs]


def _linear(coordinates: str) -> dict[str, AttributeValue]:
    return {"mode": "linear", "coordinate_transformation_mode": coordinates}


_X = normal(1, 2, 4, 5, seed=1)
_REGION = np.asarray([0, 0, 0.2, -0.1, 1, 1, 0.9, 0.8], np.float32)
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
    Case("linear_pytorch", (_X, None, None, ints(1, 2, 9, 1)), _linear("pytorch_half_pixel"), (3,)),
    Case(
        "linear_symmetric", (_X, None, np.asarray([1, 1, 1.3, 0.7], np.float32)), _linear("half_pixel_symmetric"), (2,)
    ),
    Case("linear_antialias", (_X, None, None, ints(1, 2, 2, 3)), {"mode": "linear", "antialias": 1}, (3,)),
    Case("cubic_twice", (_X, None, _TWICE), {"mode": "cubic"}, (2,)),
    Case("cubic_excludes", (_X, None, None, ints(1, 2, 7, 3)), {"mode": "cubic", "exclude_outside": 1}, (3,)),
    Case("cubic_antialias", (_X, None, None, ints(1, 2, 3, 2)), {"mode": "cubic", "antialias": 1}, (3,)),
    Case("crop", (_X, _REGION, None, ints(1, 2, 3, 6)), _linear("tf_crop_and_resize"), (1, 3)),
    Case(
        "axes",
        (_X, None, None, ints(8, 6)),
        {"mode": "nearest", "axes": (3, 2), "keep_aspect_ratio_policy": "not_larger"},
        (3,),
    ),
)
_UPSAMPLE_CASES = (
    Case("nearest", (_X, _TWICE), {"mode": "nearest"}, (1,)),
    Case("linear", (_X, _TWICE), {"mode": "linear"}, (1,)),
)


def write(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a RESIZE_BILINEAR or RESIZE_NEAREST_NEIGHBOR.

    Raises:
        ModelError: TFLite cannot express it, or its sizes depend on the model's data.
    """
    inputs = [None if index == 0 else graph.constant(value) for index, value in enumerate(node.inputs)]
    for value, array in zip(node.inputs[1:], inputs[1:], strict=True):
        if value is not None and array is None:
            raise graph.unsupported(node, f"its input {value.name!r} depends on the model's data")
    write_resize(node, graph, _resamplings(graph.describe(node), inputs, graph.shape(node.inputs[0])))


_READERS: Final[dict[str, TfliteReader]] = {
    "RESIZE_BILINEAR": read_resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": read_resize_nearest,
}


def _operator(op_type: str, cases: tuple[Case, ...], note: str, *, fused: bool) -> Operator:
    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=reference,
        quantization=QuantRule.SHARED,
        channels=ChannelRule.KEEPS,
        cases=cases,
        integer=integer,
        integer_q31=integer_q31,
        onnxruntime_int8=fused,
        note=note,
        from_tflite=_READERS if op_type == "Resize" else {},
        to_tflite=write,
    )


SPECS: Final = (
    _operator("Resize", _CASES, "nearest on integers, linear and cubic through float", fused=True),
    _operator("Upsample", _UPSAMPLE_CASES, "up to opset 9; Resize after", fused=False),
)
