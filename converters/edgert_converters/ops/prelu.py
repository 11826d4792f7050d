"""PRelu: x above zero, slope * x below, slope broadcast to x; the integer rule is float32 element by element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import QuantParams, multiplier_q31, multiply_q31
from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.gates_tflite import read_prelu, write_prelu
from edgert_converters.ops.q31 import centred_integers, clamped, scale_of
from edgert_converters.ops.rules import elementwise_float32, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x where x >= 0, else slope * x."""
    x, slope = require_input(node, inputs, 0), require_input(node, inputs, 1)
    return [np.where(x >= 0, x, x * slope)]


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns q - zp_x times s_x / s_y, below zero times the slope's integers and s_x * s_slope / s_y."""
    x, slope, params = require_input(node, inputs, 0), require_input(node, inputs, 1), outputs[0]
    scale, step = np.float64(scale_of(x.params)), np.float64(scale_of(params))
    values = centred_integers(x)
    above = multiply_q31(values, *multiplier_q31(scale / step))
    product = values * centred_integers(slope)
    below = multiply_q31(product, *multiplier_q31(scale * np.float64(scale_of(slope.params)) / step))
    return [clamped(np.where(values >= 0, above, below), params)]


CASES = (Case("per_channel", (normal(2, 3, 5, 7, seed=1), normal(3, 1, 1, seed=2, spread=0.3)), {}, (1,)),)

SPEC = Operator(
    op_type="PRelu",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.KEEPS,
    cases=CASES,
    integer=elementwise_float32(reference),
    integer_q31=integer_q31,
    from_tflite={"PRELU": read_prelu},
    to_tflite=write_prelu,
)
