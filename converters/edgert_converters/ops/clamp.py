"""Relu and Clip behind another operator, on its output integers: both round, so the order does not matter.

rint is monotonic, so clamp(rint(v)) equals rint(clamp(v)) when the limits are rounded alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.quant import quantize
from edgert_converters.ops.clip import read_limits
from edgert_converters.ops.spec import Array, Node, QTensor

__all__ = ["clamp_integers"]


def clamp_integers(node: Node, limits: Sequence[Array | None], q: QTensor) -> QTensor:
    """Returns `q` clamped to the quantized limits of a Relu or Clip node; `limits` are its inputs 1 and up."""
    low, high = (0.0, np.inf) if node.op_type == "Relu" else read_limits(node, [None, *limits])
    smallest, largest = q.params.dtype.integer_range
    first = smallest if low == -np.inf else int(quantize(np.asarray(low, np.float32), q.params))
    last = largest if high == np.inf else int(quantize(np.asarray(high, np.float32), q.params))
    return QTensor(np.clip(q.values, first, last), q.params)
