"""Equal, Less, LessOrEqual, Greater and GreaterOrEqual with numpy broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.pairs_tflite import PAIR_READERS, PAIR_WRITERS
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPECS"]

Comparison = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]]


def _operator(op_type: str, compare: Comparison) -> Operator:
    def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        return [np.asarray(compare(require_input(node, inputs, 0), require_input(node, inputs, 1)))]

    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=reference,
        quantization=QuantRule.FLOAT,
        channels=ChannelRule.JOINS,
        cases=(
            Case("int64", (ints(1, 2, 3), ints(1, 5, 2))),
            Case("broadcast", (np.rint(normal(2, 3, 4, seed=1)), np.rint(normal(3, 1, seed=2)))),
        ),
        note="gives booleans",
    )


SPECS: Final = with_hooks(
    (
        _operator("Equal", np.equal),
        _operator("Greater", np.greater),
        _operator("GreaterOrEqual", np.greater_equal),
        _operator("Less", np.less),
        _operator("LessOrEqual", np.less_equal),
    ),
    PAIR_READERS,
    PAIR_WRITERS,
)
