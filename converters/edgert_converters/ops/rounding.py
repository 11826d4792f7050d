"""Floor, Ceil, Round (half to even), Sign and Reciprocal: one correctly rounded operation each."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.samples import normal, positive
from edgert_converters.ops.spec import Node
from edgert_converters.ops.unary_operator import exact_operator
from edgert_converters.ops.unary_tflite import UNARY_READERS, UNARY_WRITERS

__all__ = ["SPECS"]

Numbers = NDArray[Any]  # Any: every type of number


def floor(node: Node, x: Numbers) -> Numbers:
    """Returns the largest whole number up to x."""
    result: Numbers = np.floor(x)
    return result


def ceil(node: Node, x: Numbers) -> Numbers:
    """Returns the smallest whole number from x on."""
    result: Numbers = np.ceil(x)
    return result


def round_half_even(node: Node, x: Numbers) -> Numbers:
    """Returns the nearest whole number; of two equally near ones the even one."""
    result: Numbers = np.rint(x)
    return result


def sign(node: Node, x: Numbers) -> Numbers:
    """Returns -1, 0 or 1."""
    result: Numbers = np.sign(x)
    return result


def reciprocal(node: Node, x: Numbers) -> Numbers:
    """Returns 1 / x; infinite at zero."""
    result: Numbers = np.asarray(1, x.dtype) / x
    return result


_X = normal(2, 3, 40, seed=1, spread=3)

SPECS: Final = with_hooks(
    (
        exact_operator("Ceil", ceil, _X),
        exact_operator("Floor", floor, _X),
        exact_operator("Reciprocal", reciprocal, positive(2, 3, 40, seed=2)),
        exact_operator("Round", round_half_even, _X),
        exact_operator("Sign", sign, _X),
    ),
    UNARY_READERS,
    UNARY_WRITERS,
)
