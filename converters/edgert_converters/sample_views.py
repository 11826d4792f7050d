"""What the report shows of a sample's inputs, whatever kind of data they are, in a few kilobytes each."""

from __future__ import annotations

import base64
import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.codec import JsonValue
from edgert_converters.data.sample import Array
from edgert_converters.png import encode_png

__all__ = ["MAX_POINTS", "MAX_SIDE", "InputView", "ViewKind", "view_input"]

MAX_SIDE = 128
"""Pixels of a picture's longer side; larger ones are thinned out."""

MAX_POINTS = 256
MAX_NUMBERS = 24

_SMALLEST_PICTURE = 16
"""One channel with a shorter side, or more than twice as long as wide, is a table of features and no image."""

_HEAT = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], np.float64)
"""From dark to bright, told apart with any colour vision. Source: Smith and van der Walt, viridis, Matplotlib, 2015."""


class ViewKind(enum.Enum):
    """How an input is drawn."""

    PICTURE = "picture"
    HEAT_MAP = "heat map"
    LINE = "line"
    NUMBERS = "numbers"


@dataclass(frozen=True, slots=True)
class InputView:
    """One input: a PNG, or numbers (all of them, the first few, or lowest and highest of each stretch of a line)."""

    name: str
    kind: ViewKind
    shape: tuple[int, ...]
    low: float
    high: float
    png: bytes | None = None
    values: tuple[float, ...] = ()

    def to_json(self) -> dict[str, JsonValue]:
        """The entry of `worst_samples[].inputs` in report.json."""
        return {
            "name": self.name,
            "kind": self.kind.value,
            "shape": list(self.shape),
            "low": self.low,
            "high": self.high,
            "png": base64.b64encode(self.png).decode() if self.png else None,
            "values": list(self.values),
        }


def view_input(name: str, x: Array) -> InputView:
    """Returns the view of one input [1, ...], of any type.

    A tensor of 3 channels, or of 1 that looks like an image, first or last, is a picture: its range becomes 0 to 255.
    Another table of floats is a heat map, a long vector a line. Integers (ids of words) and all the rest are numbers.
    """
    inner = x[0] if x.ndim > 1 and x.shape[0] == 1 else x
    numeric = inner.size > 0 and inner.dtype.kind in "fiub"
    values = np.nan_to_num(inner.astype(np.float64), posinf=0.0, neginf=0.0) if numeric else np.zeros(0)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    pixels = _as_pixels(values)
    if pixels is not None:
        return InputView(name, ViewKind.PICTURE, x.shape, low, high, encode_png(_to_8_bits(_thin(pixels), low, high)))
    table = values.squeeze()
    if inner.dtype.kind == "f" and table.ndim == 2:
        return InputView(name, ViewKind.HEAT_MAP, x.shape, low, high, encode_png(_heat_map(table, low, high)))
    if inner.dtype.kind == "f" and table.ndim == 1 and table.size > MAX_NUMBERS:
        return InputView(name, ViewKind.LINE, x.shape, low, high, values=_envelope(table))
    return InputView(name, ViewKind.NUMBERS, x.shape, low, high, values=_rounded(values.reshape(-1)[:MAX_NUMBERS]))


def _as_pixels(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Returns float64[H, W, 3] of an image in either layout, else None."""
    if values.ndim != 3:
        return None
    if values.shape[0] in {1, 3} and values.shape[2] not in {1, 3}:
        values = values.transpose(1, 2, 0)
    height, width, channels = values.shape
    is_square = max(height, width) <= 2 * min(height, width)
    if channels == 3 and min(height, width) > 1:
        return values
    if channels == 1 and is_square and min(height, width) >= _SMALLEST_PICTURE:
        return np.repeat(values, 3, axis=2)
    return None


def _thin(values: NDArray[np.float64]) -> NDArray[np.float64]:
    step = -(-max(values.shape[:2]) // MAX_SIDE)
    return values[::step, ::step]


def _to_8_bits(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    span = high - low if high > low else 1.0
    return np.rint(np.clip((values - low) / span, 0.0, 1.0) * 255).astype(np.uint8)


def _heat_map(table: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    """Returns uint8[h, w, 3]; the longer axis (time) runs to the right, the other one upwards."""
    wide = table if table.shape[1] >= table.shape[0] else table.T
    place = _to_8_bits(_thin(wide[::-1]), low, high) / 255
    anchors = np.linspace(0.0, 1.0, len(_HEAT))
    colours = [np.interp(place, anchors, _HEAT[:, channel]) for channel in range(3)]
    return np.rint(np.stack(colours, axis=-1)).astype(np.uint8)


def _envelope(values: NDArray[np.float64]) -> tuple[float, ...]:
    """All values, or the lowest and the highest of each stretch where there are too many: peaks stay."""
    if values.size <= MAX_POINTS:
        return _rounded(values)
    stretches = np.array_split(values, MAX_POINTS // 2)
    return _rounded(np.array([end(part) for part in stretches for end in (np.min, np.max)]))


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values)
