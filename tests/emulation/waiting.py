"""Waiting for something that happens on a board."""

from __future__ import annotations

import time
from collections.abc import Callable

_PATIENCE_S = 60.0
_PERIOD_S = 0.01


def wait_for(is_so: Callable[[], bool], otherwise: str, patience_s: float = _PATIENCE_S) -> None:
    """Returns when `is_so()`.

    Raises:
        AssertionError: with the text `otherwise`; it did not become so within `patience_s` seconds.
    """
    deadline_s = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline_s:
            raise AssertionError(otherwise)
        time.sleep(_PERIOD_S)
