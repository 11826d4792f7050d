"""LeakyRelu: x above zero, alpha * x below; the integer rule is float32 element by element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import QuantParams, multiplier_q31, multiply_q31
from edgert_converters.ops.attributes import get_float, require_input
from edgert_converters.ops.gates_tflite import read_leaky_relu, write_leaky_relu
from edgert_converters.ops.q31 import centred_integers, clamped, scale_of
from edgert_converters.ops.rules import elementwise_float32, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x where x >= 0, else f32(alpha) * x."""
    x = require_input(node, inputs, 0)
    alpha = x.dtype.type(get_float(node, "alpha", 0.01))
    return [np.where(x >= 0, x, x * alpha)]


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns q - zp_x times the fixed-point s_x / s_y, or s_x * alpha / s_y below zero; ratios in float32."""
    x, params = require_input(node, inputs, 0), outputs[0]
    scale, alpha = scale_of(x.params), np.float32(get_float(node, "alpha", 0.01))
    values = centred_integers(x)
    above, below = (
        multiply_q31(values, *multiplier_q31(np.float64(real / scale_of(params)))) for real in (scale, scale * alpha)
    )
    return [clamped(np.where(values >= 0, above, below), params)]


_X = normal(2, 3, 5, 7, seed=1)
CASES = (Case("default", (_X,)), Case("alpha", (_X,), {"alpha": 0.1}))

SPEC = Operator(
    op_type="LeakyRelu",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.KEEPS,
    cases=CASES,
    integer=elementwise_float32(reference),
    integer_q31=integer_q31,
    from_tflite={"LEAKY_RELU": read_leaky_relu},
    to_tflite=write_leaky_relu,
    onnxruntime_int8=True,
)
