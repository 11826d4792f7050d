"""Pad with a constant, the edge, a reflection or a wrap; negative pads cut.

Integer rule: the constant is quantized with the input's parameters, rint(value / s_x) + zp_x.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.errors import ModelError
from edgert.quant import QuantParams, dequantize, quantize
from edgert_converters.ops.attributes import get_str, input_or_attribute, normalise_axis, require_input
from edgert_converters.ops.mirror_pad_tflite import read_mirror_pad
from edgert_converters.ops.pad_tflite import read_pad, write_pad
from edgert_converters.ops.q31 import rescale_q31
from edgert_converters.ops.rules import no_macs, rescale
from edgert_converters.ops.samples import ints, normal, scalar
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

__all__ = ["SPEC"]


_MODES = {"constant": "constant", "edge": "edge", "reflect": "reflect", "wrap": "wrap"}


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the padded (or cut) tensor."""
    x = require_input(node, inputs, 0)
    return [_pad(node, inputs, x, _fill(node, inputs))]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the padded integers."""
    x = require_input(node, inputs, 0)
    fill = quantize(np.asarray(_fill(node, inputs), np.float32), x.params)
    return [rescale(QTensor(_pad(node, inputs, x.values, int(fill)), x.params), outputs[0])]


def integer_q31(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the padded integers, rescaled by a fixed-point multiplier where the parameters differ."""
    x = require_input(node, inputs, 0)
    return [rescale_q31(integer(node, inputs, [x.params])[0], outputs[0])]


def _fill(node: Node, inputs: Sequence[QTensor | Array | None]) -> float:
    given = inputs[2] if len(inputs) > 2 else None
    if isinstance(given, QTensor):
        return float(dequantize(given.values, given.params).reshape(-1)[0])
    value = input_or_attribute(node, inputs, 2, "value")
    return 0.0 if value is None or value.size == 0 else float(value.reshape(-1)[0])


def _pad(node: Node, inputs: Sequence[QTensor | Array | None], x: NDArray[Any], fill: float) -> NDArray[Any]:
    pads = input_or_attribute(node, inputs, 1, "pads")
    mode = get_str(node, "mode", "constant")
    if pads is None or mode not in _MODES:
        raise ModelError(f"Pad needs pads and a mode of {sorted(_MODES)}, got mode {mode!r}", node=node.name)
    sizes = [int(p) for p in pads.reshape(-1)]
    given = input_or_attribute(node, inputs, 3, "axes")
    axes = range(x.ndim) if given is None else [normalise_axis(int(a), x.ndim) for a in given.reshape(-1)]
    width, cuts = [(0, 0)] * x.ndim, [slice(None)] * x.ndim
    for axis, before, after in zip(axes, sizes[: len(sizes) // 2], sizes[len(sizes) // 2 :], strict=True):
        width[axis] = (max(before, 0), max(after, 0))
        cuts[axis] = slice(max(-before, 0), min(after, 0) or None)
    options: dict[str, Any] = {"constant_values": fill} if mode == "constant" else {}
    result: NDArray[Any] = np.pad(x[tuple(cuts)], width, mode=mode, **options)  # type: ignore[call-overload]
    return result


_X = normal(2, 3, 4, 5, seed=1)
CASES = (
    Case("spatial", (_X, ints(0, 0, 1, 2, 0, 0, 0, 1)), {}, (1,)),
    Case("constant", (_X, ints(0, 1, 0, 0, 0, 1, 0, 0), scalar(0.5)), {}, (1, 2)),
    Case("reflect", (_X, ints(0, 0, 2, 1, 0, 0, 1, 2)), {"mode": "reflect"}, (1,)),
    Case("edge", (_X, ints(0, 0, 2, 1, 0, 0, 1, 2)), {"mode": "edge"}, (1,)),
    Case("wrap", (_X, ints(0, 0, 2, 1, 0, 0, 1, 2)), {"mode": "wrap"}, (1,)),
    Case("cuts", (_X, ints(0, 0, -1, 1, 0, 0, 0, -2)), {}, (1,)),
    Case("axes", (_X, ints(1, 2), scalar(0), ints(2)), {}, (1, 2, 3)),
)

SPEC = Operator(
    op_type="Pad",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=integer,
    integer_q31=integer_q31,
    from_tflite={"MIRROR_PAD": read_mirror_pad, "PAD": read_pad, "PADV2": read_pad},
    to_tflite=write_pad,
)
