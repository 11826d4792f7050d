"""CenterCropPad: crops or pads axes to a size around the centre; integers move and the padding is zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_ints, normalise_axis, require_input
from edgert_converters.ops.rules import no_macs, rescale
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the cropped and padded tensor; of an odd difference the end takes the larger part."""
    return [_centre(node, require_input(node, inputs, 0), require_input(node, inputs, 1), 0)]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the moved integers; the padding is the zero point."""
    x = require_input(node, inputs, 0)
    moved = _centre(node, x.values, require_input(node, inputs, 1), x.params.zero_point[0])
    return [rescale(QTensor(moved, x.params), outputs[0])]


def _centre(node: Node, x: NDArray[Any], shape: Array, fill: int) -> NDArray[Any]:
    axes = [normalise_axis(a, x.ndim) for a in get_ints(node, "axes", range(x.ndim))]
    cuts, width = [slice(None)] * x.ndim, [(0, 0)] * x.ndim
    for axis, wanted in zip(axes, shape.reshape(-1).tolist(), strict=True):
        excess = x.shape[axis] - int(wanted)
        if excess > 0:
            cuts[axis] = slice(excess // 2, excess // 2 + int(wanted))
        elif excess < 0:
            width[axis] = (-excess // 2, -excess - (-excess // 2))
    result: NDArray[Any] = np.pad(x[tuple(cuts)], width, constant_values=fill)
    return result


_X = normal(2, 3, 7, 6, seed=1)
CASES = (
    Case("crop_and_pad", (_X, ints(4, 9)), {"axes": (2, 3)}, (1,)),
    Case("all_axes", (_X, ints(1, 5, 8, 3)), {}, (1,)),
)

SPEC = Operator(
    op_type="CenterCropPad",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=integer,
)
