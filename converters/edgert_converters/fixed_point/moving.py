"""Operators that move or select values: the operator table's own rules, once for mantissas and once for exponents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from edgert.errors import ModelError
from edgert_converters.fixed_point.arithmetic import to_format
from edgert_converters.fixed_point.formats import FixedTensor, Format, Ints
from edgert_converters.fixed_point.step import Step, Value, bind, fixed_input, plain_input
from edgert_converters.ops import OPERATORS
from edgert_converters.ops.attributes import get_str
from edgert_converters.ops.spec import Array

__all__ = ["MOVERS", "run_move", "run_pad", "run_pool"]

MOVERS: Final = (
    "Concat",
    "DepthToSpace",
    "Dropout",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
)


def run_move(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns the moved mantissas, each brought from the exponent that moved with it to that of its new place.

    Where both are equal the mantissa is copied.
    """
    mantissas = _reference(step, [v.values if isinstance(v, FixedTensor) else v for v in inputs])
    fixed = [v for v in inputs if isinstance(v, FixedTensor)]
    if all(v.format.is_uniform for v in fixed) and len({int(v.format.exponents.flat[0]) for v in fixed}) == 1:
        single: Ints = fixed[0].format.exponents.reshape(())
        exponents = [single] * len(mantissas)
    else:
        full = [np.broadcast_to(v.exponents, v.values.shape) if isinstance(v, FixedTensor) else v for v in inputs]
        exponents = _reference(step, full)
    return [to_format(m, e, f) for m, e, f in zip(mantissas, exponents, formats, strict=False)]


def run_pool(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns the largest mantissa of each window; exponents are the same along spatial axes."""
    x = fixed_input(step, inputs, 0)
    (largest,) = _reference(step, [x.values])
    return [to_format(largest, x.exponents, formats[0])]


def run_pad(step: Step, inputs: Sequence[Value | None], formats: Sequence[Format]) -> list[FixedTensor]:
    """Returns the padded mantissas; a constant must be zero, which is the same at every exponent.

    Raises:
        ModelError: the constant is another number.
    """
    given = inputs[2] if len(inputs) > 2 else None
    constant = given.values if isinstance(given, FixedTensor) else plain_input(inputs, 2)
    value = np.asarray(step.attributes.get("value", 0) if constant is None else constant)
    if get_str(bind(step, []), "mode", "constant") == "constant" and value.any():
        raise ModelError("Pad with a constant other than 0 is not supported in fixed point", node=step.name)
    return run_move(step, [*inputs[:2], None, *inputs[3:]], formats)


def _reference(step: Step, arrays: Sequence[Array | None]) -> list[Ints]:
    return [y.astype(np.int64) for y in OPERATORS[step.op].reference(bind(step, arrays), arrays)]
