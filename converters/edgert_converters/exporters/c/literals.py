"""Names and numbers as C writes them."""

from __future__ import annotations

import math
import re
import zlib

import numpy as np

__all__ = ["c_identifier", "float_literal"]

_LONGEST = 60
_KEYWORDS = {"auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern"}


def c_identifier(name: str) -> str:
    """Returns a name in lower case that C takes: letters, digits and underscores, not starting with a digit.

    Of more than 60 characters the last are replaced by the CRC of all, so that no line becomes too long.
    """
    text = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "model"
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST - 9]}_{zlib.crc32(name.encode()):08x}"
    return f"m_{text}" if text[0].isdigit() or text in _KEYWORDS else text


def float_literal(value: float | np.float32) -> str:
    """Returns a float32 as a C literal that reads back as the same bits; all that are no numbers become one."""
    if not math.isfinite(value):
        return "(0.0f / 0.0f)" if math.isnan(value) else f"({math.copysign(1.0, value)}f / 0.0f)"
    return f"{float(value).hex()}f"
