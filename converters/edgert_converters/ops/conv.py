"""Conv: 1, 2 or more spatial dimensions, groups, dilation, any padding.

Integer rule: acc = sum((x - zp_x) * w) + bias, then `fp32` requantization. Padding adds the zero point, that is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams
from edgert_converters.ops.accumulate import centred, exact_type, in_both_modes, requantize_channels
from edgert_converters.ops.attributes import get_int, require_input
from edgert_converters.ops.conv_3d_tflite import read_conv_3d
from edgert_converters.ops.conv_tflite import read_conv_2d, read_depthwise_conv_2d, write_conv
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule
from edgert_converters.ops.windows import Windows, pad_spatial, resolve_windows, view_windows
from edgert_converters.requantize import Requantize

__all__ = ["SPEC", "convolve"]

Floats = NDArray[Any]  # Any: float32 or float64, chosen by what is exact


def convolve(node: Node, x: Floats, w: Floats) -> Floats:
    """Returns the convolution [N, O, output...] of x [N, C, spatial...] with w [O, C / groups, kernel...], no bias.

    Sums in the arrays' own float type; exact when every partial sum fits its mantissa.
    """
    windows = resolve_windows(node, x.shape[2:], w.shape[2:])
    groups = get_int(node, "group", 1)
    padded = pad_spatial(x, windows, 0)
    if groups == x.shape[1] and w.shape[1] == 1:
        return _depthwise(padded, w, windows)
    return _grouped(padded, w, windows, groups)


def _depthwise(padded: Floats, w: Floats, windows: Windows) -> Floats:
    multiplier = w.shape[0] // padded.shape[1]
    view = view_windows(padded, windows)
    spread = np.repeat(view, multiplier, axis=1) if multiplier > 1 else view
    rank = len(windows.kernel)
    total = np.zeros(spread.shape[: 2 + rank], padded.dtype)
    for tap in np.ndindex(*windows.kernel):
        weight = w[(slice(None), 0, *tap)].reshape((-1,) + (1,) * rank)
        total += spread[(..., *tap)] * weight
    return total


def _grouped(padded: Floats, w: Floats, windows: Windows, groups: int) -> Floats:
    batch, channels = padded.shape[:2]
    rank = len(windows.kernel)
    view = view_windows(padded, windows)
    weights = w.reshape(groups, w.shape[0] // groups, -1)
    spatial = tuple(range(1, 1 + rank))
    taps = tuple(range(1 + rank, 1 + 2 * rank))
    out = np.empty((batch, w.shape[0], *windows.output), padded.dtype)
    for n in range(batch):  # one sample at a time: the unfolded windows are kernel-size times the input
        columns = (
            view[n].transpose(0, *taps, *spatial).reshape(groups, (channels // groups) * _size(windows.kernel), -1)
        )
        out[n] = np.matmul(weights, columns).reshape(w.shape[0], *windows.output)
    return out


def _size(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def macs(node: Node) -> int:
    """Returns output elements times kernel size times input channels per group."""
    weight = node.input_shapes[1]
    if weight is None:
        return 0
    return _size(node.output_shapes[0]) * _size(weight[1:])


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the convolution, accumulated in float64 and rounded once to x's type."""
    x, w = require_input(node, inputs, 0), require_input(node, inputs, 1)
    total = convolve(node, x.astype(np.float64), w.astype(np.float64))
    if len(inputs) > 2 and inputs[2] is not None:
        total += inputs[2].reshape((1, -1) + (1,) * (x.ndim - 2))
    return [total.astype(x.dtype)]


def _integer(
    node: Node, inputs: Sequence[QTensor | Array | None], params: QuantParams, mode: Requantize
) -> list[QTensor]:
    """Returns clamp(rint(f32(acc) * m[c]) + zp_y) with m[c] = f32(f32(s_x * s_w[c]) / s_y), or the fixed-point form."""
    x, w = require_input(node, inputs, 0), require_input(node, inputs, 1)
    kind = exact_type(x, w, _size(w.values.shape[1:]))
    acc = convolve(node, centred(x, kind), centred(w, kind)).astype(np.int64)
    bias = inputs[2] if len(inputs) > 2 else None
    return [requantize_channels(node, acc, (x, w, bias), params, axis=1, weight_axis=0, mode=mode)]


_X = normal(2, 6, 9, 8, seed=1)
CASES = (
    Case("3x3", (_X, normal(5, 6, 3, 3, seed=2), normal(5, seed=3)), {"pads": (1, 1, 1, 1)}, (1, 2)),
    Case("stride_asymmetric_pads", (_X, normal(5, 6, 3, 3, seed=2)), {"pads": (0, 1, 1, 0), "strides": (2, 2)}, (1,)),
    Case("pointwise", (_X, normal(8, 6, 1, 1, seed=4), normal(8, seed=5)), {}, (1, 2)),
    Case("depthwise", (_X, normal(6, 1, 3, 3, seed=6), normal(6, seed=7)), {"group": 6, "pads": (1, 1, 1, 1)}, (1, 2)),
    Case("depthwise_multiplier", (_X, normal(12, 1, 5, 3, seed=8)), {"group": 6}, (1,)),
    Case("groups", (_X, normal(4, 3, 3, 3, seed=9)), {"group": 2, "strides": (2, 1)}, (1,)),
    Case("dilated", (_X, normal(4, 6, 3, 3, seed=10)), {"dilations": (2, 3), "pads": (2, 3, 2, 3)}, (1,)),
    Case("same_upper", (_X, normal(4, 6, 4, 3, seed=11)), {"auto_pad": "SAME_UPPER", "strides": (2, 2)}, (1,)),
    Case("same_lower", (_X, normal(4, 6, 4, 3, seed=12)), {"auto_pad": "SAME_LOWER"}, (1,)),
    Case("1d", (normal(1, 4, 30, seed=13), normal(6, 4, 5, seed=14), normal(6, seed=15)), {"strides": (2,)}, (1, 2)),
    Case("1d_depthwise", (normal(1, 4, 30, seed=16), normal(4, 1, 5, seed=17)), {"group": 4, "dilations": (3,)}, (1,)),
    Case("3d", (normal(1, 3, 5, 6, 4, seed=18), normal(4, 3, 2, 3, 3, seed=19)), {"strides": (1, 2, 1)}, (1,)),
)

_FP32, _Q31 = in_both_modes(_integer)

SPEC = Operator(
    op_type="Conv",
    macs=macs,
    reference=reference,
    quantization=QuantRule.COMPUTE,
    channels=ChannelRule.PRODUCES,
    cases=CASES,
    integer=_FP32,
    integer_q31=_Q31,
    from_tflite={
        "CONV_2D": read_conv_2d,
        "CONV_3D": read_conv_3d,
        "DEPTHWISE_CONV_2D": read_depthwise_conv_2d,
    },
    to_tflite=write_conv,
    onnxruntime_int8=True,
    note="depthwise keeps its channels",
)
