"""Reshape: 0 copies a dimension (unless allowzero), -1 is inferred."""

from __future__ import annotations

from collections.abc import Sequence

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_int, input_or_attribute, require_input
from edgert_converters.ops.reshape_tflite import read_reshape, write_reshape
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns the same values in another shape.

    Raises:
        ModelError: the shape is absent or holds another number of elements.
    """
    x = require_input(node, inputs, 0)
    target = input_or_attribute(node, inputs, 1, "shape")
    if target is None:
        raise ModelError("Reshape has no shape", node=node.name)
    sizes = [int(d) for d in target.reshape(-1)]
    if not get_int(node, "allowzero", 0):
        sizes = [x.shape[i] if d == 0 else d for i, d in enumerate(sizes)]
    try:
        return [x.reshape(sizes)]
    except ValueError as e:
        raise ModelError(f"cannot reshape {x.shape} to {tuple(sizes)}", node=node.name) from e


CASES = (
    Case("infer", (normal(2, 3, 4, seed=1), ints(2, -1)), {}, (1,)),
    Case("copy", (normal(2, 3, 4, seed=2), ints(0, 0, 2, 2)), {}, (1,)),
)

SPEC = Operator(
    op_type="Reshape",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
    from_tflite={"RESHAPE": read_reshape},
    to_tflite=write_reshape,
)
