"""A quantized stand-in of a float model: the graph that a conversion would make, with made-up ranges.

No data and no run: the time of an integer kernel does not depend on the values. What real ranges may change is that
joins whose branches differ too much in range stay float; here all of them join.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert.dtypes import DType
from edgert.recipe import RangeMethod
from edgert_converters.quantize.insert import apply_plan
from edgert_converters.quantize.plan import Plan, make_plan, values_to_watch
from edgert_converters.quantize.statistics import TensorStatistics

__all__ = ["plan_stand_in", "quantize_stand_in"]

_RANGE = np.array([-1.0, 1.0], np.float32)


def plan_stand_in(model: ir.Model) -> Plan:
    """Returns what a conversion would quantize, every activation with the range [-1, 1]."""
    statistics = {}
    for name in values_to_watch(model):
        statistics[name] = TensorStatistics()
        statistics[name].update(_RANGE, name)
    return make_plan(model, statistics, RangeMethod.MIN_MAX, 100.0)


def quantize_stand_in(model: ir.Model, plan: Plan, encoding: DType) -> ir.Model:
    """Returns the quantized stand-in; `encoding` is int8 or uint8 activations."""
    return apply_plan(model, plan, encoding)
