"""SOFTMAX."""

from __future__ import annotations

import math

import numpy as np

from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.exporters.c.network import Call, Constant
from edgert_converters.ops.fixed_point import exp_negative
from edgert_converters.ops.q31 import DIFFERENCE_BITS, scaled_differences
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_softmax"]


def lower_softmax(operator: TfOperator, network: Lowering) -> None:
    """Adds a softmax over the last axis, its exponentials as a table by the difference to the largest logit."""
    tensor = network.tensor(operator, 0)
    x = network.quant(operator, tensor)
    if network.mode is Requantize.FP32:
        raise network.refusal(operator, "no kernel for fp32 mode yet")
    raw, taken = scaled_differences(-np.arange(256, dtype=np.int64), np.float32(x.scale[0]))
    powers = np.where(taken, exp_negative(raw, DIFFERENCE_BITS), 0).astype(np.int32)
    depth = tensor.shape[-1]
    arguments = {"batch": math.prod(tensor.shape) // depth, "depth": depth}
    table = Constant("powers", "int32_t", powers, "exp of differences, Q0", is_payload=False)
    network.add(operator, Call("softmax_q31", "softmax", arguments, {}, (table,)), overwrites=(0,))
