"""Interpolation along one axis of a tensor: where each output index lies, which input elements it weighs and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_float, get_int, get_str
from edgert_converters.ops.spec import Node

__all__ = ["Resampling", "apply_taps", "cubic_kernel", "nearest_indices", "source_positions", "weigh_taps"]

Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Resampling:
    """How one axis changes: input and output size, the scale between them, and the region of interest (0 to 1)."""

    source: int
    size: int
    scale: float
    start: float = 0.0
    end: float = 1.0

    @property
    def changes(self) -> bool:
        """False where every output index is its input index."""
        return self.size != self.source or self.scale != 1.0 or (self.start, self.end) != (0.0, 1.0)


def source_positions(node: Node, axis: Resampling, kind: type[np.floating[Any]] = np.float64) -> NDArray[Any]:
    """Returns where each output index lies on the input axis, by coordinate_transformation_mode, computed in `kind`.

    Raises:
        ModelError: the mode is unknown.
    """
    early = node.op_type == "Upsample" or node.opset < 11
    mode = get_str(node, "coordinate_transformation_mode", "asymmetric" if early else "half_pixel")
    index = np.arange(axis.size).astype(kind)
    if mode == "asymmetric":
        return index / axis.scale
    if mode == "align_corners":
        length = axis.scale * axis.source
        return index * (axis.source - 1) / (length - 1) if length > 1 else np.zeros_like(index)
    if mode == "tf_crop_and_resize":
        last = axis.source - 1
        if axis.size == 1:
            return np.full_like(index, 0.5 * (axis.start + axis.end) * last)
        return axis.start * last + index * ((axis.end - axis.start) * last / (axis.size - 1))
    if mode == "pytorch_half_pixel" and axis.size == 1:
        return np.zeros_like(index)
    if mode == "half_pixel_symmetric":
        adjustment = axis.size / (kind(axis.scale) * axis.source)
        return axis.source / 2 * (1 - adjustment) + (index + 0.5) / axis.scale - 0.5
    if mode in {"half_pixel", "pytorch_half_pixel"}:
        return (index + 0.5) / axis.scale - 0.5
    raise ModelError(f"coordinate_transformation_mode {mode!r} is unknown", node=node.name)


def nearest_indices(node: Node, position: Float64, source: int) -> Indices:
    """Returns the input index that each position takes, by nearest_mode.

    Raises:
        ModelError: the mode is unknown.
    """
    early = node.op_type == "Upsample" or node.opset < 11
    rounding = get_str(node, "nearest_mode", "floor" if early else "round_prefer_floor")
    if rounding not in _ROUNDINGS:
        raise ModelError(f"nearest_mode {rounding!r} is unknown", node=node.name)
    return np.clip(_ROUNDINGS[rounding](position), 0, source - 1).astype(np.int64)


_ROUNDINGS: Final[dict[str, Callable[[Float64], Float64]]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda position: np.ceil(position - 0.5),
    "round_prefer_ceil": lambda position: np.floor(position + 0.5),
}


def weigh_taps(node: Node, mode: str, axis: Resampling) -> tuple[Indices, Float64]:
    """Returns the input indices [size, taps] and weights [size, taps] of linear or cubic interpolation.

    Weights of one output element sum to 1. Elements beyond the border count as the border's, unless exclude_outside
    leaves them out.
    """
    position = source_positions(node, axis)
    first = np.floor(position).astype(np.int64)
    antialias = get_int(node, "antialias", 0) == 1
    shrink = min(axis.scale, 1.0) if antialias else 1.0
    kernel = linear_kernel if mode == "linear" else cubic_kernel(get_float(node, "cubic_coeff_a", -0.75))
    reach = int(np.ceil((1 if mode == "linear" else 2) / shrink))
    index = first[:, None] + np.arange(1 - reach, reach + 1)
    weights = kernel(np.abs(index - position[:, None]) * shrink)
    outside = (index < 0) | (index >= axis.source)
    if get_int(node, "exclude_outside", 0):
        weights = np.where(outside, 0.0, weights)
    # a position far outside (tf_crop_and_resize) may leave no weight at all; its value is extrapolated anyway
    total = weights.sum(axis=1, keepdims=True)
    return np.clip(index, 0, axis.source - 1), weights / np.where(total == 0, 1.0, total)


def linear_kernel(distance: Float64) -> Float64:
    """Returns the triangle 1 - d, zero from 1 on."""
    return np.maximum(1.0 - distance, 0.0)


def cubic_kernel(a: float) -> Callable[[Float64], Float64]:
    """Returns the cubic convolution kernel, zero from distance 2 on.

    Source: Keys, Cubic convolution interpolation for digital image processing, 1981, IEEE ASSP 29(6), equation 15.
    """

    def kernel(distance: Float64) -> Float64:
        near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
        far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
        result: Float64 = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
        return result

    return kernel


def apply_taps(x: NDArray[Any], axis: int, index: Indices, weights: Float64) -> Float64:
    """Returns x interpolated along one axis: the weighted sum over the taps, in float64."""
    shape = [1] * x.ndim
    shape[axis] = -1
    total = np.zeros([1] * x.ndim)
    for tap in range(index.shape[1]):
        total = total + np.take(x, index[:, tap], axis=axis) * weights[:, tap].reshape(shape)
    return total
