"""Resize to and from TFLite's RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR.

TFLite knows three ways to place output pixels on the input (plain, align_corners, half_pixel_centers); which of them an
ONNX Resize means is told by computing both and comparing, so every combination of modes that agrees is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.attributes import get_int, get_str
from edgert_converters.ops.interpolation import Resampling, nearest_indices, source_positions
from edgert_converters.tflite.layout import channels_first, channels_last
from edgert_converters.tflite.moves import move, read_moved

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from edgert_converters.ops.spec import Node
    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_resize_bilinear", "read_resize_nearest", "write_resize"]

_NEAR: Final = 1e-4  # of an input pixel: float32 positions of engines differ by less
_OPTIONS: Final = ((False, True), (True, False), (False, False))  # align_corners, half_pixel_centers


def read_resize_bilinear(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a linear Resize of height and width."""
    align, half = _flags(operator)
    mode = "align_corners" if align else "half_pixel" if half else "asymmetric"
    _read(operator, graph, {"mode": "linear", "coordinate_transformation_mode": mode})


def read_resize_nearest(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a nearest Resize of height and width.

    Raises:
        ModelError: both align_corners and half_pixel_centers are set.
    """
    align, half = _flags(operator)
    if align and half:
        raise graph.error(operator, "align_corners and half_pixel_centers exclude each other")
    mode = "align_corners" if align else "half_pixel" if half else "asymmetric"
    rounding = "round_prefer_ceil" if align or half else "floor"
    _read(operator, graph, {"mode": "nearest", "coordinate_transformation_mode": mode, "nearest_mode": rounding})


def _flags(operator: TfOperator) -> tuple[bool, bool]:
    return bool(operator.options.get("align_corners")), bool(operator.options.get("half_pixel_centers"))


def _read(operator: TfOperator, graph: ImportGraph, attributes: dict[str, str]) -> None:
    sizes = graph.ints(graph.required(operator, 1))
    x = graph.channels_first(operator.inputs[0])
    value = graph.add("Resize", [x, None, None, sizes], {**attributes, "axes": (2, 3)})
    graph.finish(operator, value, channels_first(4))


def write_resize(node: ir.Node, graph: ExportGraph, plan: Sequence[Resampling]) -> None:
    """Writes a resize of height and width.

    Args:
        node: a Resize or Upsample.
        graph: under construction.
        plan: how every axis changes.

    Raises:
        ModelError: the input is not N, C, H, W, other axes change, or TFLite places pixels otherwise.
    """
    spec = graph.describe(node)
    read_moved(node, graph)
    if len(plan) != 4 or plan[0].changes or plan[1].changes:
        raise graph.unsupported(node, "TFLite resizes height and width of N, C, H, W only")
    mode = get_str(spec, "mode", "nearest")
    linear = mode in {"linear", "bilinear"}
    if not linear and mode != "nearest":
        raise graph.unsupported(node, f"TFLite has no {mode} interpolation")
    if linear and any(get_int(spec, name, 0) for name in ("antialias", "exclude_outside")):
        raise graph.unsupported(node, "TFLite's linear interpolation knows neither antialias nor exclude_outside")
    for align, half in _OPTIONS:
        if all(_agrees(spec, axis, linear=linear, align=align, half=half) for axis in plan[2:]):
            break
    else:
        coordinates = get_str(spec, "coordinate_transformation_mode", "half_pixel")
        rounding = "" if linear else f" with {get_str(spec, 'nearest_mode', 'round_prefer_floor')}"
        raise graph.unsupported(node, f"TFLite does not place pixels as {coordinates}{rounding} does here")
    sizes = graph.constant_tensor("size", np.asarray([axis.size for axis in plan[2:]], np.int32))
    name = "RESIZE_BILINEAR" if linear else "RESIZE_NEAREST_NEIGHBOR"
    inputs = [graph.channels_last(node), sizes]
    move(node, graph, name, inputs, channels_last(4), align_corners=align, half_pixel_centers=half)


def _agrees(spec: Node, axis: Resampling, *, linear: bool, align: bool, half: bool) -> bool:
    if get_str(spec, "coordinate_transformation_mode", "") == "tf_crop_and_resize":
        return False
    position = source_positions(spec, axis)
    if not linear:
        return np.array_equal(nearest_indices(spec, position, axis.source), _nearest(axis, align=align, half=half))
    limit = axis.source - 1
    return bool(
        np.allclose(np.clip(position, 0, limit), np.clip(_linear(axis, align=align, half=half), 0, limit), 0, _NEAR)
    )


def _scale(axis: Resampling, *, align: bool) -> float:
    return (axis.source - 1) / (axis.size - 1) if align and axis.size > 1 else axis.source / axis.size


def _linear(axis: Resampling, *, align: bool, half: bool) -> NDArray[np.float64]:
    index = np.arange(axis.size, dtype=np.float64)
    scale = _scale(axis, align=align)
    return (index + 0.5) * scale - 0.5 if half else index * scale


def _nearest(axis: Resampling, *, align: bool, half: bool) -> NDArray[np.int64]:
    """Returns TFLite's input indices, computed in float32 as its kernel does."""
    scale = np.float32(_scale(axis, align=align))
    place = (np.arange(axis.size).astype(np.float32) + np.float32(0.5 if half else 0)) * scale
    found = np.floor(place + np.float32(0.5)) if align else np.floor(place)
    index: NDArray[np.int64] = np.clip(found.astype(np.int64), 0, axis.source - 1)
    return index
