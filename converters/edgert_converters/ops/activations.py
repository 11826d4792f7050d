"""Activation functions beside those of unary.py: Elu, Selu, Celu, Mish, Softplus, Softsign, ThresholdedRelu, Shrink.

The smooth ones take the table rule; ThresholdedRelu and Shrink jump and are computed in float32. `alpha` and its like
are float32 in the model.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgert_converters.ops.activations_tflite import ACTIVATION_WRITERS
from edgert_converters.ops.attributes import get_float
from edgert_converters.ops.element_wise_tflite import with_hooks
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Node
from edgert_converters.ops.unary_operator import exact_operator, table_operator
from edgert_converters.ops.unary_tflite import UNARY_READERS

__all__ = ["SPECS"]

Float64 = NDArray[np.float64]
Numbers = NDArray[Any]  # Any: every type of number
_SELU_ALPHA: Final = 1.67326319217681884765625
_SELU_GAMMA: Final = 1.05070102214813232421875


def _attribute(node: Node, name: str, default: float) -> float:
    return float(np.float32(get_float(node, name, default)))


def _expm1(x: Float64) -> Float64:
    """Returns exp(x) - 1 of the part below zero; what stands above does not matter to the callers."""
    return np.expm1(np.minimum(x, 0))


def elu(node: Node, x: Float64) -> Float64:
    """Returns x above zero, else alpha * (exp(x) - 1)."""
    return np.where(x > 0, x, _attribute(node, "alpha", 1.0) * _expm1(x))


def selu(node: Node, x: Float64) -> Float64:
    """Returns gamma * x above zero, else gamma * alpha * (exp(x) - 1).

    Source: G. Klambauer and others, Self-normalizing neural networks, 2017, arXiv:1706.02515, equation 2.
    """
    alpha, gamma = _attribute(node, "alpha", _SELU_ALPHA), _attribute(node, "gamma", _SELU_GAMMA)
    return gamma * np.where(x > 0, x, alpha * _expm1(x))


def celu(node: Node, x: Float64) -> Float64:
    """Returns x above zero, else alpha * (exp(x / alpha) - 1)."""
    alpha = _attribute(node, "alpha", 1.0)
    return np.where(x > 0, x, alpha * _expm1(x / alpha))


def softplus(node: Node, x: Float64) -> Float64:
    """Returns ln(1 + exp(x)) without overflow."""
    return np.logaddexp(0, x)


def mish(node: Node, x: Float64) -> Float64:
    """Returns x * tanh(softplus(x)).

    Source: D. Misra, Mish: a self regularized non-monotonic activation function, 2019, arXiv:1908.08681, equation 1.
    """
    result: Float64 = x * np.tanh(np.logaddexp(0, x))
    return result


def softsign(node: Node, x: Float64) -> Float64:
    """Returns x / (1 + |x|)."""
    result: Float64 = x / (1 + np.abs(x))
    return result


def thresholded_relu(node: Node, x: Numbers) -> Numbers:
    """Returns x where it is above alpha, else 0."""
    return np.where(x > _attribute(node, "alpha", 1.0), x, 0)


def shrink(node: Node, x: Numbers) -> Numbers:
    """Returns x moved by bias towards zero where |x| is above lambd, else 0."""
    bias, limit = _attribute(node, "bias", 0.0), _attribute(node, "lambd", 0.5)
    return np.where(x < -limit, x + bias, np.where(x > limit, x - bias, 0))


_X = normal(2, 3, 40, seed=1, spread=3)

SPECS: Final = with_hooks(
    (
        table_operator("Celu", celu, _X, {"alpha": 2.0}),
        table_operator("Elu", elu, _X, {"alpha": 0.5}, tflite_table=True),
        table_operator("Mish", mish, _X),
        table_operator("Selu", selu, _X, {"alpha": 2.0, "gamma": 3.0}),
        exact_operator("Shrink", shrink, _X, {"lambd": 1.5, "bias": 1.5}),
        table_operator("Softplus", softplus, _X),
        table_operator("Softsign", softsign, _X),
        exact_operator("ThresholdedRelu", thresholded_relu, _X, {"alpha": 2.0}),
    ),
    UNARY_READERS,
    ACTIVATION_WRITERS,
)
