"""Pre-processing as data: steps of a recipe or manifest become one function on numpy arrays (docs/recipe.md).

Needs numpy only and gives the same numbers on every device (see edgert.runtime.resize). Reading image files is not done
here: a step list starts from a decoded RGB image uint8[H, W, 3], or from any array.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal  # Any: settings of a step, checked when it was bound

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Step
from edgert.dtypes import DType
from edgert.errors import DataError, RecipeError
from edgert.runtime.audio.settings import FRONT_ENDS, LogMelSettings, MfccSettings, MicroFrontendSettings
from edgert.runtime.geometry import Geometry
from edgert.runtime.resize import resize_bilinear
from edgert.runtime.steps import bind_step

__all__ = ["PREPROCESS_STEPS", "Geometry", "Preprocess", "build_preprocess"]

Array = NDArray[np.generic]

MAX_PIXELS = 1 << 26  # 8192 x 8192; steps come from files, and a larger picture is an accident or an attack


@dataclass(frozen=True, slots=True)
class _Frame:
    values: Array
    geometry: Geometry


@dataclass(frozen=True, slots=True)
class Preprocess:
    """Calls the steps in order; returns the array with a leading batch axis of 1, and the geometry."""

    steps: tuple[Callable[[_Frame], _Frame], ...]

    def __call__(self, values: Array) -> tuple[Array, Geometry]:
        """Returns (array [1, ...], geometry) for a decoded image uint8[H, W, 3] or any array without batch axis.

        Raises:
            DataError: the array does not have the form a step works on (an image, enough pixels to crop).
        """
        size = (int(values.shape[0]), int(values.shape[1])) if values.ndim >= 2 else (1, 1)
        frame = _Frame(values, Geometry(size, size))
        for step in self.steps:
            frame = step(frame)
        return np.ascontiguousarray(frame.values)[None], frame.geometry


def build_preprocess(steps: Sequence[Step]) -> Preprocess:
    """Returns the function that the steps describe; no steps: only the batch axis is added.

    Raises:
        RecipeError: a step or an argument is unknown, missing or of the wrong type.
    """
    bound = [bind_step(step, PREPROCESS_STEPS, f"preprocess step {i}") for i, step in enumerate(steps, 1)]
    for i, step in enumerate(steps, 1):
        _check_pair(step, f"preprocess step {i}")
    return Preprocess(tuple(bound))


def _check_pair(step: Step, where: str) -> None:
    if step["op"] in FRONT_ENDS:
        try:
            FRONT_ENDS[step["op"]](**{name: value for name, value in step.items() if name != "op"})
        except ValueError as error:
            raise RecipeError(f"{where} ({step['op']}): {error}") from error
    if step["op"] == "normalize" and len(step["mean"]) != len(step["std"]):
        raise RecipeError(f"{where} (normalize): mean has {len(step['mean'])} values and std {len(step['std'])}")
    if step["op"] == "normalize" and 0 in step["std"]:
        raise RecipeError(f"{where} (normalize): std must not hold 0")


def _resize(frame: _Frame, *, height: int, width: int, antialias: bool = False) -> _Frame:
    image = _image(frame)
    _check_size(max(height, image.shape[0]), width, "resize to")  # columns are resized first, with all rows there
    resized = resize_bilinear(image, height, width, antialias=antialias)
    return _Frame(resized, frame.geometry.scaled(height, width))


def _resize_shorter(frame: _Frame, *, size: int, antialias: bool = False) -> _Frame:
    rows, columns = _image(frame).shape[:2]
    shorter = min(rows, columns)
    height, width = (max(size, _round(side * size / shorter)) for side in (rows, columns))
    return _resize(frame, height=height, width=width, antialias=antialias)


def _center_crop(frame: _Frame, *, height: int, width: int) -> _Frame:
    image = _image(frame)
    rows, columns = image.shape[:2]
    if rows < height or columns < width:
        raise DataError(f"cannot crop {height}x{width} from an image of {rows}x{columns}; resize first")
    top, left = (rows - height) // 2, (columns - width) // 2
    cropped = image[top : top + height, left : left + width]
    return _Frame(cropped, frame.geometry.moved(height, width, -left, -top))


def _letterbox(
    frame: _Frame,
    *,
    height: int,
    width: int,
    fill: float | list[float] = 114.0,
    align: Literal["center", "top-left"] = "center",
    antialias: bool = False,
) -> _Frame:
    rows, columns = _image(frame).shape[:2]
    _check_size(height, width, "letterbox to")
    ratio = min(height / rows, width / columns)
    inner_height, inner_width = (min(h, max(1, _round(s * ratio))) for h, s in ((height, rows), (width, columns)))
    inner = _resize(frame, height=inner_height, width=inner_width, antialias=antialias)
    top, left = ((height - inner_height) // 2, (width - inner_width) // 2) if align == "center" else (0, 0)
    canvas = np.empty((height, width, inner.values.shape[2]), np.float32)
    canvas[:] = _per_channel(fill, canvas, "letterbox")
    canvas[top : top + inner_height, left : left + inner_width] = inner.values
    return _Frame(canvas, inner.geometry.moved(height, width, left, top))


def _color(frame: _Frame, *, to: Literal["rgb", "bgr", "gray"]) -> _Frame:
    image = _image(frame)
    if to == "gray":
        if image.shape[2] == 1:
            return _Frame(image, frame.geometry)
        weights = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601 luma
        red, green, blue = (image[..., c : c + 1].astype(np.float32) * weights[c] for c in range(3))
        return _Frame(red + green + blue, frame.geometry)
    if image.shape[2] == 1:
        return _Frame(np.repeat(image, 3, axis=2), frame.geometry)
    return _Frame(image[..., ::-1] if to == "bgr" else image, frame.geometry)


def _scale(frame: _Frame, *, factor: float, offset: float = 0.0) -> _Frame:
    values = frame.values.astype(np.float32) * np.float32(factor) + np.float32(offset)
    return _Frame(values, frame.geometry)


def _normalize(frame: _Frame, *, mean: list[float], std: list[float]) -> _Frame:
    values = frame.values.astype(np.float32)
    centred = values - _per_channel(mean, values, "normalize")
    return _Frame(centred / _per_channel(std, values, "normalize"), frame.geometry)


def _layout(frame: _Frame, *, to: Literal["NCHW", "NHWC"]) -> _Frame:
    image = _image(frame)
    return _Frame(np.transpose(image, (2, 0, 1)) if to == "NCHW" else image, frame.geometry)


def _cast(frame: _Frame, *, to: Literal["float", "float16", "uint8", "int8", "int32", "int64"]) -> _Frame:
    dtype = DType(to).numpy
    if dtype.kind == "f":
        return _Frame(frame.values.astype(dtype), frame.geometry)
    info = np.iinfo(dtype.name)
    rounded = np.clip(np.rint(frame.values.astype(np.float64)), info.min, info.max)
    return _Frame(rounded.astype(dtype), frame.geometry)


def _flatten(frame: _Frame) -> _Frame:
    return _Frame(frame.values.reshape(-1), frame.geometry)


def _reshape(frame: _Frame, *, shape: list[int]) -> _Frame:
    if int(np.prod(shape)) != frame.values.size:
        raise DataError(f"cannot reshape {frame.values.shape} to {tuple(shape)}")
    return _Frame(frame.values.reshape(shape), frame.geometry)


@functools.wraps(MfccSettings, updated=())  # the fields of the settings are the arguments of the step
def _mfcc(frame: _Frame, **settings: Any) -> _Frame:
    from edgert.runtime.audio.mfcc import FEATURE_BITS, mfcc

    features = mfcc(_clip(frame), MfccSettings(**settings))
    return _Frame(features.astype(np.float32) * np.float32(2.0**-FEATURE_BITS), frame.geometry)


@functools.wraps(MicroFrontendSettings, updated=())
def _micro_frontend(frame: _Frame, **settings: Any) -> _Frame:
    from edgert.runtime.audio.micro_frontend import FEATURE_UNIT, micro_frontend

    features = micro_frontend(_clip(frame), MicroFrontendSettings(**settings))
    return _Frame(features.astype(np.float32) * np.float32(FEATURE_UNIT), frame.geometry)


@functools.wraps(LogMelSettings, updated=())
def _log_mel(frame: _Frame, **settings: Any) -> _Frame:
    from edgert.runtime.audio.log_mel import log_mel

    is_vibration = frame.values.dtype == np.float32 and frame.values.ndim == 1
    clip = frame.values.astype(np.float32, copy=False) if is_vibration else _clip(frame)
    return _Frame(log_mel(clip, LogMelSettings(**settings)), frame.geometry)


PREPROCESS_STEPS: dict[str, Callable[..., _Frame]] = {
    "resize": _resize,
    "resize_shorter": _resize_shorter,
    "center_crop": _center_crop,
    "letterbox": _letterbox,
    "color": _color,
    "scale": _scale,
    "normalize": _normalize,
    "layout": _layout,
    "cast": _cast,
    "flatten": _flatten,
    "reshape": _reshape,
    "log_mel": _log_mel,
    "mfcc": _mfcc,
    "micro_frontend": _micro_frontend,
}
"""Every pre-processing step by its name in the recipe; keyword-only parameters are the step's arguments."""


def _clip(frame: _Frame) -> NDArray[np.int16]:
    values = frame.values
    if values.ndim != 1 or values.dtype != np.int16:
        raise DataError(f"expected sound as int16[samples], got {values.dtype.name} of shape {values.shape}")
    return values.astype(np.int16, copy=False)


def _image(frame: _Frame) -> Array:
    values = frame.values[:, :, None] if frame.values.ndim == 2 else frame.values
    if values.ndim != 3 or values.shape[2] not in {1, 3} or 0 in values.shape:
        raise DataError(f"expected an image [H, W, 3], [H, W, 1] or [H, W], got an array {frame.values.shape}")
    return values


def _check_size(height: int, width: int, what: str) -> None:
    if height * width > MAX_PIXELS:
        raise DataError(f"cannot {what} {height}x{width}: more than {MAX_PIXELS} pixels")


def _per_channel(value: float | list[float], values: Array, op: str) -> NDArray[np.float32]:
    """The constant in float32; one value per channel is for arrays [H, W, C] (or any [..., C])."""
    constant = np.atleast_1d(np.asarray(value, np.float32))
    if constant.size == 1:
        return constant
    if not values.ndim or values.shape[-1] != constant.size:
        raise DataError(
            f"{op} has {constant.size} values but the last axis of {values.shape} is not {constant.size} channels; "
            f"put it before the layout step"
        )
    return constant


def _round(value: float) -> int:
    """Nearest whole number, halves up (sizes are positive)."""
    return int(value + 0.5)
