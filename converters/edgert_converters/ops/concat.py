"""Concat along one axis.

Integer rule: each input moves to the output's parameters, rint(f32(f32(q - zp_x) * s_x) / s_y) + zp_y; inputs that have
them already are copied.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_int
from edgert_converters.ops.concat_tflite import read_concatenation, write_concat
from edgert_converters.ops.q31 import rescale_q31
from edgert_converters.ops.rules import no_macs, rescale
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the inputs one after another."""
    return [np.concatenate([x for x in inputs if x is not None], axis=get_int(node, "axis", 0))]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the rescaled inputs one after another."""
    parts = [rescale(x, outputs[0]).values for x in inputs if isinstance(x, QTensor)]
    return [QTensor(np.concatenate(parts, axis=get_int(node, "axis", 0)), outputs[0])]


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the inputs one after another, each rescaled as by a QUANTIZE of its own."""
    parts = [rescale_q31(x, outputs[0]).values for x in inputs if isinstance(x, QTensor)]
    return [QTensor(np.concatenate(parts, axis=get_int(node, "axis", 0)), outputs[0])]


CASES = (
    Case("channels", (normal(2, 3, 4, 5, seed=1), normal(2, 2, 4, 5, seed=2, spread=3)), {"axis": 1}),
    Case("last", (normal(2, 3, seed=3), normal(2, 4, seed=4), normal(2, 1, seed=5)), {"axis": -1}),
    Case("shapes_int64", (ints(1, 2), ints(3)), {"axis": 0}),
)

SPEC = Operator(
    op_type="Concat",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.STACKS,
    cases=CASES,
    integer=integer,
    integer_q31=integer_q31,
    from_tflite={"CONCATENATION": read_concatenation},
    to_tflite=write_concat,
    onnxruntime_int8=True,
)
