"""The mean of integers in `fp32` mode, shared by the pooling and reducing operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams, multiplier_q31, requantize_fp32, requantize_q31
from edgert_converters.ops.q31 import scale_of
from edgert_converters.ops.spec import QTensor

__all__ = ["mean_of_integers", "mean_q31"]


def mean_of_integers(
    acc: NDArray[np.int64], count: NDArray[np.int64] | int, x: QuantParams, params: QuantParams
) -> QTensor:
    """Returns rint(f32(acc) * f32(s_x / f32(s_y * n))) + zp_y; `acc` holds sums of q - zp_x, `count` is n.

    `count` broadcasts over `acc`: windows that reach into excluded padding have fewer elements.
    """
    size: NDArray[Any] = np.asarray(count, np.float32)
    multiplier = np.float32(x.scale[0]) / (np.float32(params.scale[0]) * size)
    return QTensor(requantize_fp32(acc, multiplier, params), params)


def mean_q31(acc: NDArray[np.int64], count: int, x: QuantParams, params: QuantParams) -> QTensor:
    """Returns the mean by TensorFlow Lite's reference: 1 / count goes into the fixed-point multiplier of s_x / s_y.

    `acc` holds sums of q - zp_x. The multiplier keeps as many bits as `count` has, and is cut, not rounded.
    """
    multiplier, shift = multiplier_q31(np.float64(scale_of(x)) / np.float64(scale_of(params)))
    bits = min(count.bit_length() - 1, 32, 31 + int(shift))
    divided = np.asarray((int(multiplier) << bits) // count, np.int64)
    return QTensor(requantize_q31(acc, divided, shift - bits, params), params)
