"""Constant: a value that stands in an attribute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.errors import ModelError
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.shape_tflite import write_constant
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


_TYPES = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the value.

    Raises:
        ModelError: it is sparse or a string.
    """
    if "value" in node.attributes:
        return [np.asarray(node.attributes["value"])]
    for name, kind in _TYPES.items():
        if name in node.attributes:
            return [np.asarray(node.attributes[name], kind)]
    raise ModelError(f"Constant holds only {sorted(node.attributes)}", node=node.name)


CASES = (
    Case("tensor", (), {"value": normal(2, 3, seed=1)}),
    Case("ints", (), {"value_ints": (1, 2, 3)}),
    Case("float", (), {"value_float": 1.5}),
)

SPEC = Operator(
    op_type="Constant",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    to_tflite=write_constant(reference),
)
