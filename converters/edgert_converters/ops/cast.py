"""Cast between element types; float to integer truncates towards zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.shape_tflite import read_cast, write_cast
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC", "cast_values"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x in the type `to`."""
    return [cast_values(require_input(node, inputs, 0), ir.DataType(get_int(node, "to", 1)).numpy())]


def cast_values(x: Array, kind: np.dtype[Any]) -> Array:
    """Returns x in another type; numbers that an integer type cannot hold become some integer, as in C."""
    with np.errstate(invalid="ignore", over="ignore"):
        return x.astype(kind)


CASES = (
    Case("to_int64", (normal(2, 5, seed=1, spread=9),), {"to": 7}),
    Case("to_float", (ints(1, -2, 3),), {"to": 1}),
    Case("to_float16", (normal(2, 5, seed=2),), {"to": 10}),
)

SPEC = Operator(
    op_type="Cast",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.KEEPS,
    cases=CASES,
    from_tflite={"CAST": read_cast},
    to_tflite=write_cast,
)
