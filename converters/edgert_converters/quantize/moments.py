"""Mean and deviation of activations from what folded normalisations remember, without running anything.

Source: Nagel, van Baalen, Blankevoort and Welling, Data-free quantization through weight equalization and bias
correction, 2019, arXiv:1906.04721, equations 17-19 and appendix C: a normalised value is taken as normal, a clamp
behind it gives the moments of a clipped normal. We go on through sums (as if branches were independent), averages and
Concat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.batch_norm_notes import ChannelMoments, read_moments

__all__ = ["clipped_normal", "known_moments"]

Floats = NDArray[np.float64]

_KEEPING = frozenset({"Identity", "Dropout", "AveragePool", "GlobalAveragePool", "Flatten", "Reshape", "Pad"})
"""Operators that keep a channel's mean: exactly, or, where zeros are padded, about."""


def known_moments(model: ir.Model) -> dict[str, ChannelMoments]:
    """Returns the moments of every value that they can be derived for, by name, float64[C] along axis 1."""
    known: dict[str, ChannelMoments] = {}
    for node in model.graph:
        moments = read_moments(node) or _propagate(node, known)
        if moments is not None:
            known[str(node.outputs[0].name)] = moments
    return known


def clipped_normal(moments: ChannelMoments, low: float, high: float) -> ChannelMoments:
    """Returns the moments of min(max(x, low), high) for normal x; either bound may be infinite."""
    mean, std = moments.mean, np.maximum(moments.std, 1e-12)
    first, second = np.zeros_like(mean), np.zeros_like(mean)
    lower, upper = (low - mean) / std, (high - mean) / std
    inside = _cumulative(upper) - _cumulative(lower)
    first += mean * inside + std * (_density(lower) - _density(upper))
    second += (mean**2 + std**2) * inside
    if math.isfinite(low):
        first += low * _cumulative(lower)
        second += std * (mean + low) * _density(lower) + low**2 * _cumulative(lower)
    if math.isfinite(high):
        first += high * (1.0 - _cumulative(upper))
        second += -std * (mean + high) * _density(upper) + high**2 * (1.0 - _cumulative(upper))
    return ChannelMoments(first, np.sqrt(np.maximum(second - first**2, 0.0)))


def _density(x: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * np.minimum(x**2, 1e4)) / math.sqrt(2.0 * math.pi), np.float64)


def _cumulative(x: Floats) -> Floats:
    return np.array([0.5 * (1.0 + math.erf(value / math.sqrt(2.0))) for value in x])


def _propagate(node: ir.Node, known: Mapping[str, ChannelMoments]) -> ChannelMoments | None:
    inputs = [known.get(str(value.name)) for value in node.inputs if value is not None and value.const_value is None]
    first = inputs[0] if inputs else None
    if first is None:
        return None
    if node.op_type in _KEEPING:
        return first
    if node.op_type in {"Add", "Concat"}:
        moments = [entry for entry in inputs if entry is not None]
        return _joined(node, moments) if len(moments) == len(node.inputs) else None
    rule = _RULES.get(node.op_type)
    return None if rule is None else rule(node, first)


def _joined(node: ir.Node, moments: list[ChannelMoments]) -> ChannelMoments | None:
    if node.op_type == "Concat":
        if node.attributes.get_int("axis", 0) != 1:
            return None
        return ChannelMoments(np.concatenate([m.mean for m in moments]), np.concatenate([m.std for m in moments]))
    if len({m.mean.size for m in moments}) > 1:
        return None
    variance = np.sum([m.std**2 for m in moments], axis=0)
    return ChannelMoments(np.sum([m.mean for m in moments], axis=0), np.sqrt(variance))


def _relu(node: ir.Node, x: ChannelMoments) -> ChannelMoments:
    return clipped_normal(x, 0.0, math.inf)


def _clip(node: ir.Node, x: ChannelMoments) -> ChannelMoments | None:
    ends = [-math.inf, math.inf]
    for index, value in enumerate(node.inputs[1:3]):
        if value is not None and value.const_value is None:
            return None
        if value is not None and value.const_value is not None:
            ends[index] = float(np.asarray(value.const_value.numpy()).ravel()[0])
    return clipped_normal(x, ends[0], ends[1])


def _leaky_relu(node: ir.Node, x: ChannelMoments) -> ChannelMoments:
    alpha, above = node.attributes.get_float("alpha", 0.01), clipped_normal(x, 0.0, math.inf)
    mean = alpha * x.mean + (1.0 - alpha) * above.mean
    square = alpha**2 * (x.mean**2 + x.std**2) + (1.0 - alpha**2) * (above.mean**2 + above.std**2)
    return ChannelMoments(mean, np.sqrt(np.maximum(square - mean**2, 0.0)))


_RULES: Mapping[str, Callable[[ir.Node, ChannelMoments], ChannelMoments | None]] = {
    "Relu": _relu,
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
}
