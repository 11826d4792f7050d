"""ArgMax and ArgMin: the index of the first (or last) extreme value along an axis.

They stay float: dequantizing keeps the order and the ties of the integers, so the index is that of the integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.ranking_tflite import RANKING_READERS, RANKING_WRITERS
from edgert_converters.ops.rules import no_macs
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

Search = Callable[..., NDArray[Any]]  # Any and ...: np.argmax and np.argmin share no narrower type


def _reference(search: Search) -> ReferenceRule:
    def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = require_input(node, inputs, 0)
        axis = get_int(node, "axis", 0)
        if get_int(node, "select_last_index", 0):
            index = x.shape[axis] - 1 - search(np.flip(x, axis), axis=axis)
        else:
            index = search(x, axis=axis)
        kept = np.expand_dims(index, axis) if get_int(node, "keepdims", 1) else index
        return [np.asarray(kept, np.int64)]

    return reference


def _operator(op_type: str, search: Search) -> Operator:
    return Operator(
        op_type=op_type,
        macs=no_macs,
        reference=_reference(search),
        quantization=QuantRule.FLOAT,
        channels=ChannelRule.BREAKS,
        cases=(
            Case("axis", (normal(2, 5, 4, seed=1),), {"axis": 1}),
            Case("drop_axis", (normal(2, 5, 4, seed=2),), {"axis": -1, "keepdims": 0}),
            Case("last_of_ties", (np.rint(normal(3, 9, seed=3)),), {"axis": 1, "select_last_index": 1}),
            Case("int32", (ints(3, 1, 1, 3).astype(np.int32),)),
        ),
        note="gives indices; those of the integers, as dequantizing keeps their order",
    )


SPECS: Final = with_hooks(
    (_operator("ArgMax", np.argmax), _operator("ArgMin", np.argmin)),
    RANKING_READERS,
    RANKING_WRITERS,
)
