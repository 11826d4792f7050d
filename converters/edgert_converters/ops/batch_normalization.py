"""BatchNormalization at inference; clean-up folds it into the convolution before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_float, get_int, require_input
from edgert_converters.ops.normalization_tflite import NORMALIZATION_WRITERS
from edgert_converters.ops.rules import count_outputs
from edgert_converters.ops.samples import normal, positive
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns (x - mean) / sqrt(variance + epsilon) * scale + shift, in float64 and rounded once.

    Raises:
        ModelError: the node is in training mode.
    """
    if get_int(node, "training_mode", 0):
        raise ModelError("BatchNormalization in training mode is not supported", node=node.name)
    x = require_input(node, inputs, 0)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    scale, shift, mean, variance = (
        require_input(node, inputs, i).astype(np.float64).reshape(shape) for i in range(1, 5)
    )
    factor = scale / np.sqrt(variance + get_float(node, "epsilon", 1e-5))
    return [((x - mean) * factor + shift).astype(x.dtype)]


_PARAMETERS = (normal(3, seed=2), normal(3, seed=3), normal(3, seed=4), positive(3, seed=5))
CASES = (Case("plain", (normal(2, 3, 4, 5, seed=1), *_PARAMETERS), {}, (1, 2, 3, 4)),)

SPEC = Operator(
    op_type="BatchNormalization",
    macs=count_outputs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.KEEPS,
    cases=CASES,
    to_tflite=NORMALIZATION_WRITERS["BatchNormalization"],
)
