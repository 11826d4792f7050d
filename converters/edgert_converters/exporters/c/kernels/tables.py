"""EDGERT_TABLE: any function of one 8-bit number."""

from __future__ import annotations

import math

import numpy as np

from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_table"]


def lower_table(operator: TfOperator, network: Lowering) -> None:
    """Adds a look-up per element, or nothing where every number stays."""
    x, y = network.tensor(operator, 0), network.result(operator)
    if x.quant is None or y.quant is None:
        raise AssertionError(f"a table between {x.name!r} and {y.name!r}, which are no integers")
    values = np.asarray(operator.options["table"], np.int64).astype(np.uint8).view(np.int8)
    first = x.quant.dtype.integer_range[0]
    if x.quant.dtype is y.quant.dtype and np.array_equal(values, np.arange(first, first + 256).astype(np.int8)):
        network.alias(operator)
        return
    table = Constant("entries", "int8_t", values, "results by input", is_payload=False)
    call = Call("table", "table", {"count": math.prod(x.shape)}, {"first": first}, (table,))
    network.add(operator, call, overwrites=(0,))
