"""The requantization mode of a model: how integer accumulators become output integers (docs/numerics.md).

It belongs to the model and travels with the graph, as a metadata property that other tools ignore.
"""

from __future__ import annotations

import enum

import onnx_ir as ir

from edgert.errors import ModelError

__all__ = ["Requantize", "read_requantize", "set_requantize"]

_KEY = "edgert.requantize"


class Requantize(enum.Enum):
    """FP32: what edgert itself produces. Q31: TensorFlow Lite's fixed-point multiplier, for imported .tflite files."""

    FP32 = "fp32"
    Q31 = "q31"


def read_requantize(model: ir.Model) -> Requantize:
    """Returns the mode of a model; FP32 where it names none.

    Raises:
        ModelError: it names an unknown one.
    """
    text = model.metadata_props.get(_KEY, Requantize.FP32.value)
    try:
        return Requantize(text)
    except ValueError as error:
        raise ModelError(f"unknown requantization mode {text!r} in the model's metadata") from error


def set_requantize(model: ir.Model, mode: Requantize) -> None:
    """Writes the mode into the model; FP32, which nothing need say, takes the property away."""
    if mode is Requantize.FP32:
        model.metadata_props.pop(_KEY, None)
    else:
        model.metadata_props[_KEY] = mode.value
