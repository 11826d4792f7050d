"""The mean of integers in `fp32` mode, shared by the pooling and reducing operators."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgert.quant import QuantParams, requantize_fp32
from edgert_converters.ops.spec import QTensor

__all__ = ["mean_of_integers"]


def mean_of_integers(
    acc: NDArray[np.int64], count: NDArray[np.int64] | int, x: QuantParams, params: QuantParams
) -> QTensor:
    """Returns rint(f32(acc) * f32(s_x / f32(s_y * n))) + zp_y; `acc` holds sums of q - zp_x, `count` is n.

    `count` broadcasts over `acc`: windows that reach into excluded padding have fewer elements.
    """
    size: NDArray[Any] = np.asarray(count, np.float32)
    multiplier = np.float32(x.scale[0]) / (np.float32(params.scale[0]) * size)
    return QTensor(requantize_fp32(acc, multiplier, params), params)
