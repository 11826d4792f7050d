"""CumSum along an axis, forwards or backwards, with or without the element itself.

Integer rule: rint(f32(acc) * f32(s_x / s_y)) + zp_y with acc = the sum of q - zp_x so far, exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_int, normalise_axis, require_input
from edgert_converters.ops.averaging import mean_of_integers
from edgert_converters.ops.ranking_tflite import RANKING_READERS, RANKING_WRITERS
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the running sums, in float64 and rounded once for floats."""
    x, axis = require_input(node, inputs, 0), require_input(node, inputs, 1)
    wide = x.astype(np.float64) if np.issubdtype(x.dtype, np.floating) else x
    return [_cumulate(node, wide, int(axis.reshape(-1)[0])).astype(x.dtype)]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the requantized running sums."""
    x, axis = require_input(node, inputs, 0), require_input(node, inputs, 1)
    centred = x.values.astype(np.int64) - x.params.zero_point[0]
    acc = _cumulate(node, centred, int(axis.reshape(-1)[0])).astype(np.int64)
    return [mean_of_integers(acc, 1, x.params, outputs[0])]


def _cumulate(node: Node, x: Array, given: int) -> Array:
    axis = normalise_axis(given, x.ndim)
    backwards = get_int(node, "reverse", 0) == 1
    ordered = np.flip(x, axis) if backwards else x
    sums = np.cumsum(ordered, axis=axis, dtype=x.dtype)
    if get_int(node, "exclusive", 0):
        first = np.zeros_like(np.take(sums, [0], axis=axis))
        sums = np.concatenate([first, np.delete(sums, -1, axis=axis)], axis=axis)
    result: Array = np.flip(sums, axis) if backwards else sums
    return result


_X = normal(2, 7, 5, seed=1)
CASES = (
    Case("axis_1", (_X, np.asarray(1, np.int64)), {}, (1,)),
    Case("exclusive", (_X, np.asarray(-1, np.int64)), {"exclusive": 1}, (1,)),
    Case("reverse", (_X, np.asarray(1, np.int64)), {"exclusive": 1, "reverse": 1}, (1,)),
    Case("int64", (ints(3, 1, 2), np.asarray(0, np.int64)), {"reverse": 1}, (1,)),
)

SPEC = Operator(
    op_type="CumSum",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.KEEPS,
    cases=CASES,
    integer=integer,
    from_tflite=RANKING_READERS["CumSum"],
    to_tflite=RANKING_WRITERS["CumSum"],
)
