"""Trigonometric and hyperbolic functions and their inverses: one table rule for all, one line per operator."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.rules import Float64Function
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Node
from edgert_converters.ops.unary_operator import table_operator
from edgert_converters.ops.unary_tflite import UNARY_READERS, UNARY_WRITERS

__all__ = ["SPECS"]

Float64 = NDArray[np.float64]


def _quiet(function: np.ufunc) -> Float64Function:
    """Returns the numpy function without warnings: outside its domain it gives NaN, at its poles infinity."""

    def evaluate(node: Node, x: Float64) -> Float64:
        with np.errstate(all="ignore"):
            return np.asarray(function(x), np.float64)

    return evaluate


_X = normal(2, 3, 40, seed=1)
_INSIDE: Final = np.clip(_X * 0.4, -0.95, 0.95)
_FROM_ONE: Final = 1 + np.abs(_X) * 2

SPECS: Final = with_hooks(
    (
        table_operator("Acos", _quiet(np.arccos), _INSIDE),
        table_operator("Acosh", _quiet(np.arccosh), _FROM_ONE),
        table_operator("Asin", _quiet(np.arcsin), _INSIDE),
        table_operator("Asinh", _quiet(np.arcsinh), _X),
        table_operator("Atan", _quiet(np.arctan), _X),
        table_operator("Atanh", _quiet(np.arctanh), _INSIDE),
        table_operator("Cos", _quiet(np.cos), _X),
        table_operator("Cosh", _quiet(np.cosh), _X),
        table_operator("Sin", _quiet(np.sin), _X),
        table_operator("Sinh", _quiet(np.sinh), _X),
        table_operator("Tan", _quiet(np.tan), _X),
    ),
    UNARY_READERS,
    UNARY_WRITERS,
)
