"""And, Or, Xor and Not on booleans; BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot and BitShift on integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_str, require_input
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.pairs_tflite import PAIR_READERS, PAIR_WRITERS
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints
from edgert_converters.ops.spec import (
    Array,
    Case,
    ChannelRule,
    Node,
    Operator,
    QuantRule,
    ReferenceRule,
)

__all__ = ["SPECS"]

Bits = NDArray[Any]  # Any: booleans or integers of any width


def shift_bits(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x shifted by y bits; bits that leave the type are lost.

    Raises:
        ModelError: `direction` is neither LEFT nor RIGHT.
    """
    x, y = require_input(node, inputs, 0), require_input(node, inputs, 1)
    direction = get_str(node, "direction", "")
    if direction not in {"LEFT", "RIGHT"}:
        raise ModelError(f"direction of BitShift is {direction!r}; allowed: 'LEFT', 'RIGHT'", node=node.name)
    return [np.left_shift(x, y) if direction == "LEFT" else np.right_shift(x, y)]


def _binary(function: Callable[[Bits, Bits], Bits]) -> ReferenceRule:
    def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.asarray(function(require_input(node, inputs, 0), require_input(node, inputs, 1)))]

    return reference


def _inverted(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [np.invert(require_input(node, inputs, 0))]


def _operator(op_type: str, reference: ReferenceRule, *cases: Case) -> Operator:
    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=reference,
        quantization=QuantRule.FLOAT,
        channels=ChannelRule.KEEPS if len(cases[0].inputs) == 1 else ChannelRule.JOINS,
        cases=cases,
        note="on booleans" if cases[0].inputs[0] is _TRUTH else "on integers",
    )


_TRUTH = np.asarray([[True, False], [False, True]])
_BOOLEANS = Case("broadcast", (_TRUTH, np.asarray([True, False])))
_INTEGERS = Case("broadcast", (ints(1, -7, 12).reshape(3, 1), ints(3, 5)))
_BYTES = (np.asarray([16, 4, 255], np.uint8), np.asarray([1, 2, 3], np.uint8))

SPECS: Final = with_hooks(
    (
        _operator("And", _binary(np.logical_and), _BOOLEANS),
        _operator(
            "BitShift",
            shift_bits,
            Case("left", _BYTES, {"direction": "LEFT"}),
            Case("right", _BYTES, {"direction": "RIGHT"}),
        ),
        _operator("BitwiseAnd", _binary(np.bitwise_and), _INTEGERS),
        _operator("BitwiseNot", _inverted, Case("int64", (ints(1, -7, 12),))),
        _operator("BitwiseOr", _binary(np.bitwise_or), _INTEGERS),
        _operator("BitwiseXor", _binary(np.bitwise_xor), _INTEGERS),
        _operator("Not", _inverted, Case("plain", (_TRUTH,))),
        _operator("Or", _binary(np.logical_or), _BOOLEANS),
        _operator("Xor", _binary(np.logical_xor), _BOOLEANS),
    ),
    PAIR_READERS,
    PAIR_WRITERS,
)
