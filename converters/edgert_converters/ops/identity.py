"""Identity."""

from __future__ import annotations

from collections.abc import Sequence

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.q31 import move_q31
from edgert_converters.ops.quantize_tflite import read_dequantize, read_quantize
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule
from edgert_converters.tflite.moves import keep

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x."""
    return [require_input(node, inputs, 0)]


SPEC = Operator(
    op_type="Identity",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.KEEPS,
    cases=(Case("plain", (normal(2, 3, seed=1),)),),
    integer=move_integers(reference),
    onnxruntime_int8=True,
    integer_q31=move_q31(reference),
    from_tflite={"DEQUANTIZE": read_dequantize, "QUANTIZE": read_quantize},
    to_tflite=keep,
)
