"""Range: start, start + delta, ... up to but without limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgert.errors import ModelError
from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import scalar
from edgert_converters.ops.shape_tflite import read_range, write_constant, write_range
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns max(ceil((limit - start) / delta), 0) numbers: start + i * delta, in the inputs' type.

    Raises:
        ModelError: delta is zero.
    """
    start, limit, delta = (require_input(node, inputs, i).reshape(()) for i in range(3))
    if not delta:
        raise ModelError("Range has a delta of zero", node=node.name)
    if np.issubdtype(start.dtype, np.integer):
        return [np.arange(int(start), int(limit), int(delta)).astype(start.dtype)]
    count = max(int(np.ceil((float(limit) - float(start)) / float(delta))), 0)
    return [(start + np.arange(count).astype(start.dtype) * delta).astype(start.dtype)]


def _integer(value: int) -> Array:
    return np.asarray(value, np.int64)


CASES = (
    Case("int64", (_integer(3), _integer(11), _integer(3)), {}, (0, 1, 2)),
    Case("down", (_integer(5), _integer(-2), _integer(-2)), {}, (0, 1, 2)),
    Case("float", (scalar(1), scalar(2.6), scalar(0.4)), {}, (0, 1, 2)),
    Case("empty", (_integer(5), _integer(2), _integer(1)), {}, (0, 1, 2)),
)

SPEC = Operator(
    op_type="Range",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    from_tflite={"RANGE": read_range},
    to_tflite=write_constant(reference, write_range),
)
