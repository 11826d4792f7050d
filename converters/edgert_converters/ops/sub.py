"""Sub with numpy broadcasting; the integer rule is dequantize, subtract in float32, quantize."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import QuantParams
from edgert_converters.ops.arithmetic_tflite import arithmetic_reader, arithmetic_writer
from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.q31 import sum_q31
from edgert_converters.ops.rules import elementwise_float32, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns a - b."""
    return [np.asarray(require_input(node, inputs, 0) - require_input(node, inputs, 1))]


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the difference at twice the larger scale, the ratios of the scales formed in float32."""
    a, b = require_input(node, inputs, 0), require_input(node, inputs, 1)
    return [sum_q31(a, b, outputs[0], sign=-1, in_float32=True)]


CASES = (
    Case("same_shape", (normal(2, 5, 7, seed=1), normal(2, 5, 7, seed=2))),
    Case("broadcast", (normal(2, 5, 7, seed=3), normal(5, 1, seed=4)), {}, (1,)),
)

SPEC = Operator(
    op_type="Sub",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.JOINS,
    cases=CASES,
    integer=elementwise_float32(reference),
    integer_q31=integer_q31,
    from_tflite={"SUB": arithmetic_reader("Sub")},
    to_tflite=arithmetic_writer("SUB"),
)
