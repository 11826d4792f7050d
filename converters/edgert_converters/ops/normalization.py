"""Normalization with statistics of the input itself: instance, group, layer, L1/L2, mean and variance. Float only.

Their statistics need the whole range of the input, so no int8 kernel of our engines computes them in integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.attributes import get_float, get_int, get_ints, normalise_axis, require_input
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.normalization_tflite import NORMALIZATION_READERS, NORMALIZATION_WRITERS
from edgert_converters.ops.rules import count_outputs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule, ReferenceRule

__all__ = ["SPECS"]

Float64 = NDArray[np.float64]
_MVN_EPSILON = 1e-9
"""Added to the standard deviation by the operator's definition."""


def _standardise(x: Float64, axes: tuple[int, ...], epsilon: float) -> tuple[Float64, Float64, Float64]:
    """Returns (x - mean) / sqrt(variance + epsilon), the mean and the reciprocal of that root."""
    mean = x.mean(axis=axes, keepdims=True)
    inverse: Float64 = 1.0 / np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)
    return (x - mean) * inverse, mean, inverse


def _per_channel(values: Array, rank: int) -> Float64:
    return values.astype(np.float64).reshape((1, -1) + (1,) * (rank - 2))


def instance_normalization(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns each channel of each sample standardised over its spatial elements, scaled and shifted."""
    x, scale, shift = (require_input(node, inputs, i) for i in range(3))
    wide = x.astype(np.float64)
    plain, _, _ = _standardise(wide, tuple(range(2, x.ndim)), get_float(node, "epsilon", 1e-5))
    return [(plain * _per_channel(scale, x.ndim) + _per_channel(shift, x.ndim)).astype(x.dtype)]


def group_normalization(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns groups of channels standardised; scale and shift per group (opset 18) or per channel (opset 21)."""
    x, scale, shift = (require_input(node, inputs, i) for i in range(3))
    groups = get_int(node, "num_groups", 1)
    grouped = x.astype(np.float64).reshape(x.shape[0], groups, -1)
    plain = _standardise(grouped, (2,), get_float(node, "epsilon", 1e-5))[0].reshape(x.shape)
    factor, summand = (np.repeat(v, x.shape[1] // v.size) for v in (scale, shift))
    return [(plain * _per_channel(factor, x.ndim) + _per_channel(summand, x.ndim)).astype(x.dtype)]


def layer_normalization(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the axes from `axis` on standardised, scaled and shifted; then, where used, mean and 1 / deviation."""
    x, scale = require_input(node, inputs, 0), require_input(node, inputs, 1)
    shift = inputs[2] if len(inputs) > 2 else None
    axes = tuple(range(normalise_axis(get_int(node, "axis", -1), x.ndim), x.ndim))
    plain, mean, inverse = _standardise(x.astype(np.float64), axes, get_float(node, "epsilon", 1e-5))
    y = plain * scale.astype(np.float64)
    if shift is not None:
        y = y + shift.astype(np.float64)
    return [y.astype(x.dtype), mean.astype(np.float32), inverse.astype(np.float32)][: len(node.output_shapes)]


def lp_normalization(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x over its L1 or L2 norm along one axis; zero where the norm is zero."""
    x = require_input(node, inputs, 0)
    order = get_int(node, "p", 2)
    wide = x.astype(np.float64)
    size = np.abs(wide) if order == 1 else wide * wide
    norm = size.sum(axis=get_int(node, "axis", -1), keepdims=True)
    norm = norm if order == 1 else np.sqrt(norm)
    return [np.divide(wide, norm, out=np.zeros_like(wide), where=norm != 0).astype(x.dtype)]


def mean_variance_normalization(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns (x - mean) / (deviation + 1e-9) over `axes`."""
    x = require_input(node, inputs, 0)
    axes = tuple(normalise_axis(a, x.ndim) for a in get_ints(node, "axes", (0, 2, 3)))
    wide = x.astype(np.float64)
    deviation = wide.std(axis=axes, keepdims=True) + _MVN_EPSILON
    return [((wide - wide.mean(axis=axes, keepdims=True)) / deviation).astype(x.dtype)]


def lrn(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x / (bias + alpha / size * sum of squares over `size` neighbouring channels) ** beta."""
    x = require_input(node, inputs, 0)
    size = get_int(node, "size", 1)
    wide = x.astype(np.float64)
    spread = [(0, 0)] * x.ndim
    spread[1] = ((size - 1) // 2, size - 1 - (size - 1) // 2)
    squares = np.pad(wide * wide, spread)
    total = sum((squares[:, i : i + x.shape[1]] for i in range(size)), np.zeros_like(wide))
    scale = get_float(node, "bias", 1.0) + get_float(node, "alpha", 1e-4) / size * total
    return [(wide / scale ** get_float(node, "beta", 0.75)).astype(x.dtype)]


def _operator(op_type: str, reference: ReferenceRule, channels: ChannelRule, *cases: Case) -> Operator:
    return Operator(
        op_type=op_type,
        macs=count_outputs,
        reference=reference,
        quantization=QuantRule.FLOAT,
        channels=channels,
        cases=cases,
    )


_X = normal(2, 6, 5, 4, seed=1)
# ONNX's reference LRN walks over as many channels as there are samples, so it is right for equal numbers only
_SQUARE = normal(6, 6, 3, 2, seed=7)
_PER_CHANNEL = (normal(6, seed=2), normal(6, seed=3))
_PER_GROUP = (normal(3, seed=2), normal(3, seed=3))

SPECS: Final = with_hooks(
    (
        _operator(
            "InstanceNormalization",
            instance_normalization,
            ChannelRule.KEEPS,
            Case("2d", (_X, *_PER_CHANNEL), {}, (1, 2)),
            Case("1d_epsilon", (normal(2, 6, 9, seed=4), *_PER_CHANNEL), {"epsilon": 0.1}, (1, 2)),
        ),
        _operator(
            "GroupNormalization",
            group_normalization,
            ChannelRule.BREAKS,
            Case("per_group", (_X, *_PER_GROUP), {"num_groups": 3}, (1, 2)),
            Case("one_group", (_X, normal(1, seed=5), normal(1, seed=6)), {"num_groups": 1, "epsilon": 0.01}, (1, 2)),
        ),
        _operator(
            "LayerNormalization",
            layer_normalization,
            ChannelRule.BREAKS,
            Case("last_axis", (_X, normal(4, seed=2), normal(4, seed=3)), {}, (1, 2)),
            Case("no_shift", (_X, normal(5, 4, seed=2)), {"axis": 2, "epsilon": 0.01}, (1,)),
            Case("statistics", (_X, normal(6, 5, 4, seed=2), normal(6, 5, 4, seed=3)), {"axis": 1}, (1, 2), outputs=3),
        ),
        _operator(
            "LpNormalization",
            lp_normalization,
            ChannelRule.BREAKS,
            Case("l2", (_X,)),
            Case("l1_channels", (_X,), {"p": 1, "axis": 1}),
        ),
        _operator(
            "MeanVarianceNormalization",
            mean_variance_normalization,
            ChannelRule.KEEPS,
            Case("per_channel", (_X,)),
            Case("axes", (_X,), {"axes": (2, 3)}),
        ),
        _operator(
            "LRN",
            lrn,
            ChannelRule.BREAKS,
            Case("odd", (_SQUARE,), {"size": 3}),
            Case("even", (_SQUARE,), {"size": 4, "alpha": 0.2, "beta": 0.5, "bias": 2.0}),
        ),
    ),
    NORMALIZATION_READERS,
    NORMALIZATION_WRITERS,
)
