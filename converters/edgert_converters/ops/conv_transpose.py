"""ConvTranspose: each input element adds a scaled kernel to the output; any rank, groups, dilation, any padding.

Integer rule: acc = sum((x - zp_x) * w) + bias, then `fp32` requantization, as Conv. Weights are [C, M / groups, ...]
with scales along axis 1; with groups, output channel m takes the scale m mod (M / groups).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams
from edgert_converters.ops.accumulate import centred, exact_type, in_both_modes, requantize_channels
from edgert_converters.ops.attributes import get_int, get_ints, require_input
from edgert_converters.ops.conv_transpose_tflite import read_transpose_conv, write_conv_transpose
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule
from edgert_converters.ops.transposed_windows import crop
from edgert_converters.requantize import Requantize

__all__ = ["SPEC", "convolve_transposed"]

Floats = NDArray[Any]  # Any: float32 or float64, chosen by what is exact


def macs(node: Node) -> int:
    """Returns input elements times kernel size times output channels per group."""
    x, w = node.input_shapes[0], node.input_shapes[1]
    if x is None or w is None:
        return 0
    return int(np.prod(x, dtype=np.int64)) * int(np.prod(w[1:], dtype=np.int64))


def convolve_transposed(node: Node, x: Floats, w: Floats) -> Floats:
    """Returns the transposed convolution [N, M, output...] of x [N, C, spatial...], no bias.

    Sums in the arrays' own float type; exact when every partial sum fits its mantissa.
    """
    rank = x.ndim - 2
    strides = get_ints(node, "strides", (1,) * rank)
    dilations = get_ints(node, "dilations", (1,) * rank)
    groups = get_int(node, "group", 1)
    reach = tuple((k - 1) * d + 1 for k, d in zip(w.shape[2:], dilations, strict=True))
    full = tuple((n - 1) * s + r for n, s, r in zip(x.shape[2:], strides, reach, strict=True))
    before, size = crop(node, x.shape[2:], strides, full)
    room = tuple(max(f, b + n) for f, b, n in zip(full, before, size, strict=True))
    total = np.zeros((x.shape[0], groups, w.shape[1], *room), x.dtype)
    columns = x.reshape(x.shape[0], groups, x.shape[1] // groups, -1)
    weights = w.reshape(groups, w.shape[0] // groups, *w.shape[1:]).swapaxes(1, 2)
    for tap in np.ndindex(*w.shape[2:]):
        part = np.matmul(weights[(..., *tap)], columns).reshape(*total.shape[:3], *x.shape[2:])
        where = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilations, x.shape[2:], strides, strict=True)
        )
        total[(slice(None), slice(None), slice(None), *where)] += part
    cut = tuple(slice(b, b + n) for b, n in zip(before, size, strict=True))
    result: Floats = total[(slice(None), slice(None), slice(None), *cut)]
    return result.reshape(x.shape[0], groups * w.shape[1], *size)


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the transposed convolution, accumulated in float64 and rounded once to x's type."""
    x, w = require_input(node, inputs, 0), require_input(node, inputs, 1)
    total = convolve_transposed(node, x.astype(np.float64), w.astype(np.float64))
    if len(inputs) > 2 and inputs[2] is not None:
        total = total + inputs[2].astype(np.float64).reshape((1, -1) + (1,) * (x.ndim - 2))
    return [total.astype(x.dtype)]


def _integer(
    node: Node, inputs: Sequence[QTensor | Array | None], params: QuantParams, mode: Requantize
) -> list[QTensor]:
    """Returns clamp(rint(f32(acc) * m[c]) + zp_y) with m[c] = f32(f32(s_x * s_w[c]) / s_y), or the fixed-point form."""
    x, w = require_input(node, inputs, 0), require_input(node, inputs, 1)
    groups = get_int(node, "group", 1)
    # no output element meets one kernel element twice, so this bounds the length of its sum
    kind = exact_type(x, w, int(np.prod(w.values.shape, dtype=np.int64)) // (w.values.shape[1] * groups))
    acc = convolve_transposed(node, centred(x, kind), centred(w, kind)).astype(np.int64)
    spread = QTensor(w.values, _repeat_scales(w.params, groups))
    bias = inputs[2] if len(inputs) > 2 else None
    return [requantize_channels(node, acc, (x, spread, bias), params, 1, 1, mode)]


def _repeat_scales(params: QuantParams, groups: int) -> QuantParams:
    if params.axis is None or groups == 1:
        return params
    return replace(params, scale=params.scale * groups, zero_point=params.zero_point * groups)


_X = normal(2, 4, 5, 4, seed=1)
_W = normal(4, 3, 3, 3, seed=2)
_B = normal(3, seed=3)
CASES = (
    Case("stride_2", (_X, _W, _B), {"strides": (2, 2)}, (1, 2)),
    Case("pads", (_X, _W), {"strides": (2, 2), "pads": (1, 1, 1, 1), "output_padding": (1, 1)}, (1,)),
    Case("groups", (_X[:1], normal(4, 2, 2, 2, seed=4), normal(4, seed=9)), {"group": 2, "strides": (2, 2)}, (1, 2)),
    Case("depthwise", (_X, normal(4, 1, 3, 3, seed=5)), {"group": 4, "strides": (2, 1)}, (1,)),
    Case("dilated", (_X, normal(4, 2, 3, 2, seed=5)), {"dilations": (2, 2)}, (1,)),
    Case("asymmetric", (_X, _W, _B), {"strides": (3, 2), "pads": (0, 1, 2, 0)}, (1, 2)),
    Case("same_upper", (_X, _W), {"strides": (2, 2), "auto_pad": "SAME_UPPER"}, (1,)),
    Case("same_lower", (_X, _W), {"strides": (2, 2), "auto_pad": "SAME_LOWER"}, (1,)),
    Case("output_shape", (_X, _W), {"strides": (3, 2), "output_shape": (14, 8)}, (1,)),
    Case("1d", (normal(1, 4, 9, seed=6), normal(4, 3, 4, seed=7)), {"strides": (2,), "pads": (1, 1)}, (1,)),
    Case("3d", (normal(1, 2, 3, 4, 3, seed=8), normal(2, 3, 2, 3, 2, seed=9)), {"strides": (1, 2, 2)}, (1,)),
)

_FP32, _Q31 = in_both_modes(_integer)

SPEC = Operator(
    op_type="ConvTranspose",
    macs=macs,
    reference=reference,
    quantization=QuantRule.COMPUTE,
    channels=ChannelRule.PRODUCES,
    cases=CASES,
    integer=_FP32,
    integer_q31=_Q31,
    from_tflite={"TRANSPOSE_CONV": read_transpose_conv},
    to_tflite=write_conv_transpose,
    note="groups share their scales",
)
