"""CastLike: x in the element type of another tensor, by the rules of Cast."""

from __future__ import annotations

from collections.abc import Sequence

from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.cast import cast_values
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x in the type of the second input, whose values do not matter."""
    return [cast_values(require_input(node, inputs, 0), require_input(node, inputs, 1).dtype)]


CASES = (
    Case("to_int64", (normal(2, 5, seed=1, spread=9), ints(0))),
    Case("to_float", (ints(1, -2, 3), normal(1, seed=2))),
)

SPEC = Operator(
    op_type="CastLike",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.FLOAT,
    channels=ChannelRule.KEEPS,
    cases=CASES,
)
