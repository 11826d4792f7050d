"""Operators that move data or only call it by another shape."""

from __future__ import annotations

from edgert_converters.exporters.c.lowering import Lowering
from edgert_converters.tflite.model import TfOperator

__all__ = ["lower_reshape"]


def lower_reshape(operator: TfOperator, network: Lowering) -> None:
    """Moves nothing."""
    network.alias(operator)
