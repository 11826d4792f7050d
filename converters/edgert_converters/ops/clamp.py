"""Relu and Clip behind another operator, on its output integers: both round, so the order does not matter.

rint is monotonic, so clamp(rint(v)) equals rint(clamp(v)) when the limits are rounded alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import QuantParams, quantize
from edgert_converters.ops.clip import read_limits
from edgert_converters.ops.q31 import rounded_limit
from edgert_converters.ops.spec import Array, Node, QTensor
from edgert_converters.requantize import Requantize

__all__ = ["clamp_integers"]


def clamp_integers(
    node: Node, limits: Sequence[Array | None], q: QTensor, mode: Requantize = Requantize.FP32
) -> QTensor:
    """Returns `q` clamped to the quantized limits of a Relu or Clip node; `limits` are its inputs 1 and up.

    In `q31` mode limits are rounded half away from zero, as TensorFlow Lite rounds them.
    """
    low, high = (0.0, np.inf) if node.op_type == "Relu" else read_limits(node, [None, *limits])
    smallest, largest = q.params.dtype.integer_range
    first = smallest if low == -np.inf else _limit(low, q.params, mode)
    last = largest if high == np.inf else _limit(high, q.params, mode)
    return QTensor(np.clip(q.values, first, last), q.params)


def _limit(limit: float, params: QuantParams, mode: Requantize) -> int:
    return (
        rounded_limit(limit, params) if mode is Requantize.Q31 else int(quantize(np.asarray(limit, np.float32), params))
    )
