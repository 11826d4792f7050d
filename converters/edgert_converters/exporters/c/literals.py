"""Names and numbers as C writes them."""

from __future__ import annotations

import re

import numpy as np

__all__ = ["c_identifier", "float_literal"]

_KEYWORDS = {"auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern"}


def c_identifier(name: str) -> str:
    """Returns a name in lower case that C takes: letters, digits and underscores, not starting with a digit."""
    text = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "model"
    return f"m_{text}" if text[0].isdigit() or text in _KEYWORDS else text


def float_literal(value: float | np.float32) -> str:
    """Returns a float32 as a C literal that reads back as the same bits."""
    return f"{float(value).hex()}f"
