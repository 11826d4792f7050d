"""Trilu: the upper or lower triangle of the last two axes; zero elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.rules import no_macs, rescale
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x with zeros outside the triangle."""
    x = require_input(node, inputs, 0)
    return [np.where(_mask(node, inputs, x.shape), x, np.zeros((), x.dtype))]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the integers with the zero point outside the triangle."""
    x = require_input(node, inputs, 0)
    plain = [v.values if isinstance(v, QTensor) else v for v in inputs]
    zero = np.asarray(x.params.zero_point[0], x.values.dtype)
    kept = np.where(_mask(node, plain, x.values.shape), x.values, zero)
    return [rescale(QTensor(kept, x.params), outputs[0])]


def _mask(node: Node, inputs: Sequence[Array | None], shape: tuple[int, ...]) -> Array:
    diagonal = inputs[1] if len(inputs) > 1 else None
    k = 0 if diagonal is None else int(diagonal.reshape(-1)[0])
    rows, columns = np.ogrid[: shape[-2], : shape[-1]]
    distance = columns - rows
    result: Array = distance >= k if get_int(node, "upper", 1) else distance <= k
    return result


_X = normal(2, 5, 6, seed=1)
CASES = (
    Case("upper", (_X,)),
    Case("lower", (_X,), {"upper": 0}),
    Case("shifted", (_X, np.asarray(-2, np.int64)), {"upper": 0}, (1,)),
)

SPEC = Operator(
    op_type="Trilu",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=integer,
)
