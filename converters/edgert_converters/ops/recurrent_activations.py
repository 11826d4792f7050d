"""The activation functions that LSTM, GRU and RNN name in their attributes, with their alpha and beta."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgert.errors import ModelError, did_you_mean
from edgert_converters.ops.spec import Node

__all__ = ["Activation", "build_activations"]

Float64 = NDArray[np.float64]
Activation: TypeAlias = Callable[[Float64], Float64]
Parametric = Callable[[Float64, float, float], Float64]


def _sigmoid(x: Float64, _alpha: float, _beta: float) -> Float64:
    result: Float64 = 0.5 * (np.tanh(0.5 * x) + 1)  # no overflow for large negative x
    return result


# name in lower case: default alpha, default beta (None: takes none), function
_FUNCTIONS: Final[dict[str, tuple[float | None, float | None, Parametric]]] = {
    "affine": (1.0, 0.0, lambda x, a, b: a * x + b),
    "elu": (1.0, None, lambda x, a, _: np.where(x >= 0, x, a * np.expm1(np.minimum(x, 0)))),
    "hardsigmoid": (0.2, 0.5, lambda x, a, b: np.clip(a * x + b, 0, 1)),
    "leakyrelu": (0.01, None, lambda x, a, _: np.where(x >= 0, x, a * x)),
    "relu": (None, None, lambda x, _, __: np.maximum(x, 0)),
    "scaledtanh": (1.0, 1.0, lambda x, a, b: a * np.tanh(b * x)),
    "sigmoid": (None, None, _sigmoid),
    "softplus": (None, None, lambda x, _, __: np.logaddexp(x, 0)),
    "softsign": (None, None, lambda x, _, __: x / (1 + np.abs(x))),
    "tanh": (None, None, lambda x, _, __: np.tanh(x)),
    "thresholdedrelu": (1.0, None, lambda x, a, _: np.where(x >= a, x, 0)),
}


_NEVER_CLIPPED: Final = 2
"""Position of LSTM's h, which reads the memory: engines clip what goes into the gates only."""


def build_activations(node: Node, defaults: Sequence[str], direction: int, clip: float) -> tuple[Activation, ...]:
    """Returns the functions of one direction, in the operator's order; a gate's input is clamped to [-clip, clip].

    alpha and beta are handed out in order to the functions that take them. A clip of 0 clamps nothing.

    Raises:
        ModelError: a name is unknown, or there are too few of them.
    """
    given = node.attributes.get("activations", ())
    names = list(defaults) * 2 if not isinstance(given, tuple) or not given else [str(name) for name in given]
    wanted = (direction + 1) * len(defaults)
    if len(names) < wanted:
        raise ModelError(f"{node.op_type} needs {wanted} activations, got {len(names)}", node=node.name)
    alphas, betas = _numbers(node, "activation_alpha"), _numbers(node, "activation_beta")
    functions = []
    for position, name in enumerate(names[:wanted]):
        if name.lower() not in _FUNCTIONS:
            near = did_you_mean(name.lower(), _FUNCTIONS)
            raise ModelError(f"{node.op_type} has the unknown activation {name!r}{near}", node=node.name)
        alpha, beta, function = _FUNCTIONS[name.lower()]
        a = 0.0 if alpha is None else next(alphas, alpha)
        b = 0.0 if beta is None else next(betas, beta)
        limit = 0.0 if position % len(defaults) == _NEVER_CLIPPED else clip
        functions.append(_bind(function, a, b, limit))
    return tuple(functions[-len(defaults) :])


def _numbers(node: Node, name: str) -> Iterator[float]:
    value = node.attributes.get(name, ())
    return iter([float(v) for v in value] if isinstance(value, tuple) else [])


def _bind(function: Parametric, alpha: float, beta: float, clip: float) -> Activation:
    def activation(x: Float64) -> Float64:
        return function(np.clip(x, -clip, clip) if clip > 0 else x, alpha, beta)

    return activation
