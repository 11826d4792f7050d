"""GridSample over any number of spatial dimensions: nearest, linear and cubic, with all paddings. Float only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_int, get_str, require_input
from edgert_converters.ops.interpolation import cubic_kernel, linear_kernel
from edgert_converters.ops.rules import count_outputs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]

Float64 = NDArray[np.float64]
Indices = NDArray[np.int64]
_MODES = {"nearest": "nearest", "linear": "linear", "bilinear": "linear", "cubic": "cubic", "bicubic": "cubic"}
_CUBIC_A = -0.75


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x [N, C, spatial...] sampled at grid [N, output..., rank], in float64 and rounded once.

    Raises:
        ModelError: the mode or the padding is unknown.
    """
    x, grid = require_input(node, inputs, 0), require_input(node, inputs, 1)
    mode = _MODES.get(get_str(node, "mode", "linear"))
    padding = get_str(node, "padding_mode", "zeros")
    if mode is None or padding not in {"zeros", "border", "reflection"}:
        raise ModelError(f"GridSample has an unknown mode or padding ({mode}, {padding})", node=node.name)
    spatial = x.shape[2:]
    points = grid.reshape(grid.shape[0], -1, len(spatial))
    # the grid counts its axes from the last one
    axes = [_axis_taps(node, mode, padding, points[..., -1 - i], size) for i, size in enumerate(spatial)]
    flat = x.reshape(*x.shape[:2], -1).astype(np.float64)
    total = np.zeros((*x.shape[:2], points.shape[1]))
    for taps in itertools.product(*(range(index.shape[-1]) for index, _ in axes)):
        where = np.zeros(points.shape[:2], np.int64)
        weight = np.ones(points.shape[:2])
        for (index, weights), tap, size in zip(axes, taps, spatial, strict=True):
            where = where * size + index[..., tap]
            weight = weight * weights[..., tap]
        total += np.take_along_axis(flat, where[:, None], axis=2) * weight[:, None]
    return [total.reshape(*x.shape[:2], *grid.shape[1:-1]).astype(x.dtype)]


def _axis_taps(node: Node, mode: str, padding: str, points: NDArray[Any], size: int) -> tuple[Indices, Float64]:
    """Returns the indices and weights [N, points, taps] on one axis; what lies outside weighs 0 with zero padding."""
    aligned = get_int(node, "align_corners", 0) == 1
    # in the grid's own type, as engines do: it decides ties of `nearest`
    position = (points + 1) / 2 * (size - 1) if aligned else ((points + 1) * size - 1) / 2
    position = np.rint(position) if mode == "nearest" else position
    low, high = (0.0, size - 1.0) if aligned else (-0.5, size - 0.5)
    position = position.astype(np.float64)
    beyond = (position < low) | (position > high)
    # cubic looks at elements beyond the border before it clamps them, as PyTorch and engines do
    if padding == "border" and mode != "cubic":
        position = np.where(beyond, np.clip(position, 0, size - 1), position)
    elif padding == "reflection":
        position = np.where(beyond, _reflect(position, low, high), position)
    first = np.floor(position).astype(np.int64)
    reach = {"nearest": range(1), "linear": range(2), "cubic": range(-1, 3)}[mode]
    index = first[..., None] + np.asarray(reach)
    distance = np.abs(index - position[..., None])
    kernel = linear_kernel if mode == "linear" else cubic_kernel(_CUBIC_A)
    weights = np.ones(index.shape) if mode == "nearest" else kernel(distance)
    if padding == "zeros":
        weights = np.where((index < 0) | (index >= size), 0.0, weights)
    elif padding == "reflection":
        index = np.trunc(_reflect(index.astype(np.float64), low, high)).astype(np.int64)
    return np.clip(index, 0, size - 1), weights


def _reflect(position: Float64, low: float, high: float) -> Float64:
    """Returns positions mirrored at both ends until they lie inside."""
    span = high - low
    if span <= 0:
        return np.full_like(position, low)
    away = np.where(position < low, low - position, position - high)
    turns = np.floor(away / span)
    rest = away - turns * span
    from_low = (position < low) == (turns % 2 == 0)
    mirrored = np.where(from_low, low + rest, high - rest)
    result: Float64 = np.where((position < low) | (position > high), mirrored, position)
    return result


_X = normal(2, 3, 5, 6, seed=1)
_GRID = normal(2, 4, 3, 2, seed=2, spread=0.9)
CASES = (
    *(
        Case(
            f"{mode}_{padding}" + ("_aligned" if aligned else ""),
            (_X, _GRID),
            {"mode": mode, "padding_mode": padding, "align_corners": aligned},
        )
        for mode in ("linear", "nearest", "cubic")
        for padding in ("zeros", "border", "reflection")
        for aligned in (0, 1)
    ),
    Case("3d", (normal(1, 2, 3, 4, 5, seed=3), normal(1, 2, 3, 2, 3, seed=4, spread=0.7))),
)

SPEC = Operator(
    op_type="GridSample",
    macs=count_outputs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.KEEPS,
    cases=CASES,
)
