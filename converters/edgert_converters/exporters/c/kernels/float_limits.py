"""Limits of fused activations on floats."""

from __future__ import annotations

from typing import Final

from edgert_converters.exporters.c.literals import float_literal
from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.tflite.model import TfOperator

__all__ = ["float_limits"]

_NONE: Final = "EDGERT_LARGEST"
_LIMITS: Final = {0: (None, None), 1: (0.0, None), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


def float_limits(operator: TfOperator, network: Lowering) -> dict[str, str]:
    """Returns `low` and `high` as C.

    Raises:
        ModelError: the fused activation is no clamp.
    """
    number = network.option(operator, "fused_activation_function")
    if number not in _LIMITS:
        raise network.refusal(operator, "its fused activation is none of RELU, RELU6 and RELU_N1_TO_1")
    low, high = _LIMITS[number]
    return {
        "low": f"-{_NONE}" if low is None else float_literal(low),
        "high": _NONE if high is None else float_literal(high),
    }
