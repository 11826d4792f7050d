"""edgert: one model in, every edge device out; the same numbers everywhere; measured, not guessed.

This module is a facade. Its names are resolved on first use, so `import edgert` costs nothing but numpy.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0.dev0"

__all__ = ["Session", "__version__", "convert", "inspect", "load", "profile"]

_HOME = {
    "Session": "edgert.runtime.session",
    "load": "edgert.runtime.session",
    "convert": "edgert.commands.convert",
    "inspect": "edgert.commands.inspect",
    "profile": "edgert.commands.profile",
}


def __getattr__(name: str) -> Any:  # Any: the facade hands out whatever the home module exports
    if name not in _HOME:
        raise AttributeError(f"module 'edgert' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
