"""What a synthetic input looks like before it reaches the model: a picture, a signal, or nothing that may vary."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edgert.bundle import Step, TensorSpec
from edgert.dtypes import DType
from edgert.runtime.preprocess import build_preprocess
from edgert_converters.ops.spec import Array
from edgert_converters.quantize.data_free.images import draw_image, natural_noise

__all__ = ["ASSUMED_IMAGE_RANGE", "InputForm", "Range", "input_forms"]

Range: TypeAlias = tuple[float, float]

ASSUMED_IMAGE_RANGE: Range = (-2.0, 2.5)
"""What (pixel - mean) / deviation of natural photographs gives."""
_ASSUMED_SIGNAL_RANGE: Range = (-3.0, 3.0)
_FLOATS = frozenset({DType.FLOAT, DType.FLOAT16, DType.DOUBLE})
_SMALLEST_PICTURE = 16
_RESIZING = frozenset({"resize", "resize_shorter", "letterbox", "center_crop"})
_BEFORE_CROP = 8 / 7
"""Size of a picture that the steps cut or shrink, as a multiple of the model's: 256 for 224."""


@dataclass(frozen=True, slots=True)
class InputForm:
    """One input of the model in the form that it is drawn in.

    `draw` gives a picture uint8[H, W, 3] or a signal float64 of any shape within `low` and `high`; `prepare` makes of
    it what the model takes, with the batch axis.
    """

    name: str
    low: float
    high: float
    draw: Callable[[np.random.Generator], Array]
    prepare: Callable[[Array], Array]
    is_picture: bool = False
    is_fixed: bool = False


def input_forms(inputs: Sequence[TensorSpec], steps: Sequence[Step], known: Range | None) -> tuple[InputForm, ...]:
    """Returns the form of each input; integer inputs without pre-processing are zeros and stay so.

    Args:
        inputs: of the model.
        steps: pre-processing of a recipe; where there are any the model has one input and they take a picture.
        known: smallest and largest number of float inputs, None where nobody said.

    Raises:
        RecipeError: a step is unknown or wrong.
    """
    if steps:
        return (_preprocessed(inputs[0], steps),)
    return tuple(_plain(spec, known) for spec in inputs)


def _preprocessed(spec: TensorSpec, steps: Sequence[Step]) -> InputForm:
    apply = build_preprocess(steps)
    height, width, _ = _picture_size(spec) or (224, 224, 3)
    if any(step["op"] in _RESIZING for step in steps):
        height, width = math.ceil(height * _BEFORE_CROP), math.ceil(width * _BEFORE_CROP)
    return InputForm(
        spec.name, 0, 255, lambda rng: draw_image(height, width, rng), lambda raw: apply(raw)[0], is_picture=True
    )


def _plain(spec: TensorSpec, known: Range | None) -> InputForm:
    shape = tuple(size or 1 for size in spec.shape)
    if spec.dtype not in _FLOATS:
        zeros = np.zeros(shape, spec.dtype.numpy)
        return InputForm(spec.name, 0, 0, lambda rng: zeros, lambda raw: raw, is_fixed=True)
    size = _picture_size(spec)
    if size is not None:
        return _picture(spec, size, known or ASSUMED_IMAGE_RANGE)
    low, high = known or _ASSUMED_SIGNAL_RANGE

    def draw(rng: np.random.Generator) -> Array:
        noise = natural_noise(shape, rng.uniform(0.0, 1.0), rng) / 3.0
        return np.asarray(np.clip(low + (high - low) * (noise + 1.0) / 2.0, low, high))

    return InputForm(spec.name, low, high, draw, lambda raw: raw.astype(spec.dtype.numpy))


def _picture(spec: TensorSpec, size: tuple[int, int, int], bounds: Range) -> InputForm:
    height, width, axis = size
    channels = spec.shape[axis]

    def prepare(raw: Array) -> Array:
        values = bounds[0] + (bounds[1] - bounds[0]) * raw.astype(np.float64) / 255.0
        values = values if channels == 3 else values.mean(axis=2, keepdims=True)
        return (values if axis == 3 else np.moveaxis(values, 2, 0))[None].astype(spec.dtype.numpy)

    return InputForm(
        spec.name, bounds[0], bounds[1], lambda rng: draw_image(height, width, rng), prepare, is_picture=True
    )


def _picture_size(spec: TensorSpec) -> tuple[int, int, int] | None:
    """Returns (height, width, channel axis) of an input that can be a picture of 1 or 3 channels."""
    shape = tuple(size or 1 for size in spec.shape)
    for axis, (rows, columns) in ((1, (2, 3)), (3, (1, 2))):
        if len(shape) == 4 and shape[axis] in {1, 3} and min(shape[rows], shape[columns]) >= _SMALLEST_PICTURE:
            return shape[rows], shape[columns], axis
    return None
