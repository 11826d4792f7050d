"""Max, Min, Sum and Mean of any number of inputs with numpy broadcasting.

Integer rule: dequantize, compute in float32 from left to right, quantize.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.pairs_tflite import PAIR_READERS, PAIR_WRITERS
from edgert_converters.ops.rules import elementwise_float32, no_macs
from edgert_converters.ops.samples import ints, normal
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

Numbers = NDArray[Any]  # Any: every type of number
Combination = Callable[[Numbers, Numbers], Numbers]


def mean(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the sum of the inputs divided by their number, in their own type."""
    total: Numbers = _fold(np.add)(node, inputs)[0]
    return [np.asarray(total / np.asarray(len(inputs), total.dtype)).astype(total.dtype)]


def _fold(combine: Combination) -> ReferenceRule:
    def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.asarray(reduce(combine, [require_input(node, inputs, i) for i in range(len(inputs))]))]

    return reference


def _operator(op_type: str, reference: ReferenceRule, *more: Case) -> Operator:
    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=reference,
        quantization=QuantRule.OWN,
        channels=ChannelRule.JOINS,
        cases=(
            Case("two", (normal(2, 5, 7, seed=1), normal(2, 5, 7, seed=2))),
            Case("constant", (normal(2, 5, 7, seed=3), normal(5, 1, seed=4)), {}, (1,)),
            Case("three", (normal(2, 5, 7, seed=5), normal(7, seed=6), normal(2, 1, 1, seed=7))),
            Case("one", (normal(2, 5, seed=8),)),
            *more,
        ),
        integer=elementwise_float32(reference),
    )


_SHAPES = Case("shapes_int64", (ints(1, 9, 3), ints(4, 5, 6)))

SPECS: Final = with_hooks(
    (
        _operator("Max", _fold(np.maximum), _SHAPES),
        _operator("Mean", mean),
        _operator("Min", _fold(np.minimum), _SHAPES),
        _operator("Sum", _fold(np.add)),
    ),
    PAIR_READERS,
    PAIR_WRITERS,
)
