"""IsNaN and IsInf: booleans that say which values are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.spec import (
    Array,
    Case,
    ChannelRule,
    Node,
    Operator,
    QuantRule,
    ReferenceRule,
)
from edgert_converters.ops.unary_tflite import UNARY_WRITERS

__all__ = ["SPECS"]


def is_nan(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns True where x is not a number."""
    return [np.asarray(np.isnan(require_input(node, inputs, 0)))]


def is_inf(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns True where x is an infinity of a sign that the attributes ask for."""
    x = require_input(node, inputs, 0)
    found = np.zeros(x.shape, np.bool_)
    if get_int(node, "detect_positive", 1):
        found |= np.isposinf(x)
    if get_int(node, "detect_negative", 1):
        found |= np.isneginf(x)
    return [found]


def _operator(op_type: str, reference: ReferenceRule, *cases: Case) -> Operator:
    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=reference,
        quantization=QuantRule.FLOAT,
        channels=ChannelRule.KEEPS,
        cases=cases,
        note="gives booleans",
    )


_X = np.asarray([[-1.2, np.nan, np.inf], [2.8, -np.inf, 0]], np.float32)

SPECS: Final = with_hooks(
    (
        _operator(
            "IsInf",
            is_inf,
            Case("both", (_X,)),
            Case("positive", (_X,), {"detect_negative": 0}),
            Case("negative", (_X,), {"detect_positive": 0}),
        ),
        _operator("IsNaN", is_nan, Case("plain", (_X,))),
    ),
    {},
    UNARY_WRITERS,
)
