"""The text of a progress bar: how much is done, and how long the rest will take at the pace so far."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["ProgressText", "format_left"]

_BAR_WIDTH = 24
_SETTLED_S = 1.0
"""Seconds of a stage before its pace is believed."""


class ProgressText:
    """Follows one stage after the other; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stage = ""
        self._start_s = 0.0
        self._first = self._last = 0

    def line(self, stage: str, done: int, total: int) -> str:
        """Returns the line for a report of progress; a total of 0 means that it is unknown.

        The pace is that since the first report of the stage, because what came before it was loading.
        """
        if stage != self._stage or done < self._last:
            self._stage, self._start_s, self._first = stage, self._clock(), done
        self._last = done
        if not total:
            return stage
        filled = _BAR_WIDTH * min(done, total) // total
        return f"{stage} [{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {done}/{total}{self._left(done, total)}"

    def _left(self, done: int, total: int) -> str:
        elapsed_s, steps = self._clock() - self._start_s, done - self._first
        if steps <= 0 or done >= total or elapsed_s < _SETTLED_S:
            return ""
        return f", about {format_left(elapsed_s / steps * (total - done))} left"


def format_left(seconds: float) -> str:
    """Returns a duration in the two largest units that say anything: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
