"""Reading report.json and profile records for display: any key may be missing, null or of the wrong kind."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Mapping
from typing import Any

__all__ = [
    "format_number",
    "format_value",
    "mapping_at",
    "number_at",
    "numbers_at",
    "pair_at",
    "png_at",
    "rows_at",
    "text_at",
    "value_at",
]

Json = Any  # Any: parsed JSON from a file, looked at key by key and never trusted

MAX_NUMBER = 1e18  # beyond it (or not a number) nothing that a report shows is meant
MAX_TEXT = 300
MAX_PICTURE_CHARACTERS = 1 << 20
MAX_PICTURE_SIDE = 2048
_PNG_START = b"\x89PNG\r\n\x1a\n"


def value_at(data: Json, *keys: str) -> Json:
    """Returns the value under nested keys, or None where any of them is missing."""
    for key in keys:
        if not isinstance(data, Mapping):
            return None
        data = data.get(key)
    return data


def number_at(data: Json, *keys: str) -> float | None:
    """Returns a number of sensible size under nested keys, else None."""
    value = value_at(data, *keys)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) <= MAX_NUMBER else None


def numbers_at(data: Json, *keys: str) -> list[float]:
    """Returns the numbers of a list under nested keys; anything else in it is left out."""
    value = value_at(data, *keys)
    found = [number_at({"x": item}, "x") for item in value] if isinstance(value, list) else []
    return [number for number in found if number is not None]


def text_at(data: Json, *keys: str) -> str | None:
    """Returns a non-empty string under nested keys (at most 300 characters), else None."""
    value = value_at(data, *keys)
    return _shorten(value) if isinstance(value, str) and value.strip() else None


def rows_at(data: Json, *keys: str) -> list[dict[str, Json]]:
    """Returns the objects of a list under nested keys; anything else in it is left out."""
    value = value_at(data, *keys)
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def mapping_at(data: Json, *keys: str) -> dict[str, Json]:
    """Returns an object under nested keys, else an empty one."""
    value = value_at(data, *keys)
    return value if isinstance(value, dict) else {}


def pair_at(data: Json, *keys: str) -> tuple[float, float] | None:
    """Returns an interval `[low, high]` under nested keys in rising order, else None."""
    value = value_at(data, *keys)
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    low, high = (number_at({"x": end}, "x") for end in value)
    if low is None or high is None:
        return None
    return (low, high) if low <= high else (high, low)


def png_at(data: Json, *keys: str) -> str | None:
    """Returns the base64 text of a PNG of sensible size under nested keys, else None."""
    value = value_at(data, *keys)
    if not isinstance(value, str) or len(value) > MAX_PICTURE_CHARACTERS:
        return None
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(content) < 33 or not content.startswith(_PNG_START):
        return None
    width, height = struct.unpack(">II", content[16:24])
    if not (0 < width <= MAX_PICTURE_SIDE and 0 < height <= MAX_PICTURE_SIDE):
        return None
    return value


def format_number(number: float, digits: int = 3) -> str:
    """Returns a number with that many significant digits and a real minus sign, without exponent where short."""
    text = f"{number:.{digits}g}"
    if "e" in text and 1e-4 <= abs(number) < 1e7:
        text = f"{number:.0f}" if abs(number) >= 1 else f"{number:.{digits + 3}f}".rstrip("0")
    return text.replace("-", "\u2212") if "e" not in text else text


def format_value(value: Json) -> str | None:
    """Returns any JSON value as short text, None for null."""
    if value is None:
        return None
    if isinstance(value, str):
        return _shorten(value)
    if isinstance(value, float):
        return format_number(value, 4)
    return _shorten(str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False, default=str))


def _shorten(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "\u2026"
