"""Room above what synthetic samples show: ranges that are too narrow cost far more than ranges that are too wide.

A range half as wide again costs 3.5 dB of signal to noise; one a third too narrow cuts every peak off. Values that an
operator bounds (Clip, Sigmoid) get no room beyond their bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import QuantRule
from edgert_converters.quantize.data_free.inputs import Range
from edgert_converters.quantize.statistics import TensorStatistics
from edgert_converters.quantize.weighted import WEIGHTED

__all__ = ["LARGEST_MARGIN", "SMALLEST_MARGIN", "widen"]

SMALLEST_MARGIN, LARGEST_MARGIN = 1.1, 1.6
"""At the input and at the last weighted operator, linear in between: evolved pictures excite first layers like
photographs (1.0 to 1.1 of their range) and the last ones by half to two thirds. tests/bench/data_free.py shows what is
kept."""

_BOUNDED: Mapping[str, Range] = {
    "Sigmoid": (0.0, 1.0),
    "HardSigmoid": (0.0, 1.0),
    "Softmax": (0.0, 1.0),
    "Tanh": (-1.0, 1.0),
    "Softsign": (-1.0, 1.0),
}

_DRAWN: Range = (0.0, 0.0)
"""Stands for the range that was drawn from, which is known."""


def widen(model: ir.Model, statistics: Mapping[str, TensorStatistics]) -> dict[str, TensorStatistics]:
    """Returns statistics whose ranges are wider, the more the deeper, within what the operators allow; means stay.

    Args:
        model: the model that the statistics are of.
        statistics: by value name; not changed.
    """
    bounds, depths = _bounds(model), _depths(model)
    room = {name: SMALLEST_MARGIN + (LARGEST_MARGIN - SMALLEST_MARGIN) * depth for name, depth in depths.items()}
    return {name: seen.stretched(_factor(seen, bounds[name], room[name])) for name, seen in statistics.items()}


def _depths(model: ir.Model) -> dict[str, float]:
    """Weighted operators on the longest way to each value, as a share of the most there are."""
    depths = {str(value.name): 0 for value in model.graph.inputs}
    for node in model.graph:
        before = max((depths.get(str(value.name), 0) for value in node.inputs if value is not None), default=0)
        depths |= dict.fromkeys((str(value.name) for value in node.outputs), before + (node.op_type in WEIGHTED))
    deepest = max(depths.values(), default=0)
    return {name: depth / max(deepest, 1) for name, depth in depths.items()}


def _factor(seen: TensorStatistics, bounds: Range, room: float) -> float:
    if bounds == _DRAWN:
        return 1.0
    for end, bound in ((seen.histogram.minimum, bounds[0]), (seen.histogram.maximum, bounds[1])):
        if math.isfinite(bound) and end * bound > 0:
            room = min(room, max(bound / end, 1.0))
    return room


def _bounds(model: ir.Model) -> dict[str, Range]:
    """What each value cannot leave; inputs keep to what was drawn."""
    bounds: dict[str, Range] = {str(value.name): _DRAWN for value in model.graph.inputs}
    for node in model.graph:
        first = node.inputs[0] if node.inputs else None
        known = _node_bounds(node)
        if known is None and first is not None and _moves(node):
            known = bounds.get(str(first.name))
        bounds |= dict.fromkeys((str(value.name) for value in node.outputs), known or (-math.inf, math.inf))
    return bounds


def _node_bounds(node: ir.Node) -> Range | None:
    if node.op_type in _BOUNDED:
        return _BOUNDED[node.op_type]
    if node.op_type != "Clip":
        return None
    ends = [None if v is None or v.const_value is None else v.const_value.numpy() for v in node.inputs[1:3]]
    low, high = (*ends, None, None)[:2]
    return (
        -math.inf if low is None else float(np.asarray(low).ravel()[0]),
        math.inf if high is None else float(np.asarray(high).ravel()[0]),
    )


def _moves(node: ir.Node) -> bool:
    operator = OPERATORS.get(node.op_type)
    return operator is not None and operator.quantization is QuantRule.SHARED
