"""A quantized stand-in of a float model: the graph that a conversion would make, with made-up ranges.

No data and no run: the time of an integer kernel does not depend on the values. What real ranges may change is that
joins whose branches differ too much in range stay float; here all of them join. Ranges are made up plausibly all the
same: what a ReLU makes starts at zero, as it will in the conversion, because OpenVINO 2026.1 fails on some graphs where
it does not (a zero point of one channel count before a Pad of channels); and they differ a little from value to value.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert.dtypes import DType
from edgert.recipe import RangeMethod
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.plan import Plan, make_plan, values_to_watch
from edgert_converters.quantize.ranges import RangeRule
from edgert_converters.quantize.rounding import round_weights
from edgert_converters.quantize.statistics import TensorStatistics

__all__ = ["plan_stand_in", "quantize_stand_in"]

_SPREAD = 0.01
_CYCLE = 97
_NEVER_NEGATIVE = {"Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Sqrt"}
_KEEP_THE_SIGN = {
    *("Add", "AveragePool", "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GlobalAveragePool"),
    *("GlobalMaxPool", "Identity", "MaxPool", "Mul", "Pad", "ReduceMax", "ReduceMean", "Reshape", "Resize", "Slice"),
    *("SpaceToDepth", "Split", "Squeeze", "Sum", "Tile", "Transpose", "Unsqueeze"),
}


def plan_stand_in(model: ir.Model) -> Plan:
    """Returns what a conversion would quantize, every activation with a range of about [-1, 1] or [0, 1]."""
    statistics = {}
    positive = _never_negative(model.graph)
    for position, name in enumerate(values_to_watch(model)):
        high = 1.0 + _SPREAD * (position % _CYCLE)
        statistics[name] = TensorStatistics()
        statistics[name].update(np.array([0.0 if name in positive else -1.0, high], np.float32), name)
    return round_weights(model, make_plan(model, statistics, RangeRule(RangeMethod.MIN_MAX)))


def quantize_stand_in(model: ir.Model, plan: Plan, encoding: DType) -> ir.Model:
    """Returns the quantized stand-in; `encoding` is int8 or uint8 activations."""
    return apply_plan(model, plan, encoding)


def _never_negative(graph: ir.Graph) -> set[str]:
    """Names of the values whose range starts at zero."""
    found: set[str] = set()
    for node in graph:
        floats = [value for value in node.inputs if value is not None and value.dtype is ir.DataType.FLOAT]
        starts_at_zero = node.op_type == "Clip" and len(floats) > 1 and _is_not_negative(floats[1], found)
        keeps = node.op_type in _KEEP_THE_SIGN and bool(floats) and all(_is_not_negative(v, found) for v in floats)
        if node.op_type in _NEVER_NEGATIVE or starts_at_zero or keeps:
            found.update(str(value.name) for value in node.outputs)
    return found


def _is_not_negative(value: ir.Value, found: set[str]) -> bool:
    if value.const_value is not None:
        return bool(np.all(np.asarray(value.const_value.numpy()) >= 0))
    return value.name in found
