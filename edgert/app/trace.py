"""Values over time for the page's live plot, at most so many points."""

from __future__ import annotations

import collections
from collections.abc import Sequence

from edgert.codec import JsonValue

__all__ = ["Trace"]

_POINTS = 300
_LINES = 5


class Trace:
    """Lines over the seconds of a stream; the limit is one more line. The loop adds, the page reads.

    Args:
        title: what the plot shows.
        names: of the lines.
        high: upper end of the scale; None: what the values need.
        step_s: least seconds between two points; of the values between, the newest is kept.
    """

    def __init__(self, title: str, names: Sequence[str], high: float | None = None, step_s: float = 0.1) -> None:
        self._title, self._names, self._high, self._step_s = title, tuple(names), high, step_s
        self._points: collections.deque[tuple[float, tuple[float, ...], float | None]]
        self._points = collections.deque(maxlen=_POINTS)

    def add(self, at_s: float, values: Sequence[float], limit: float | None) -> None:
        """Takes one value for each line and where the limit is; None: it is not known yet."""
        point = at_s, tuple(values), limit
        if len(self._points) > 1 and self._points[-1][0] - self._points[-2][0] < self._step_s * 0.99:
            self._points[-1] = point
        else:
            self._points.append(point)

    def values(self) -> dict[str, JsonValue]:
        """Returns the plot for JSON: the lines with the highest peaks, in their own order; called from any thread."""
        points = list(self._points)
        peaks = [max((values[i] for _, values, _ in points), default=0.0) for i in range(len(self._names))]
        shown = sorted(sorted(range(len(peaks)), key=lambda i: -peaks[i])[:_LINES])
        lines: list[JsonValue] = [
            {"name": self._names[i], "values": [_short(values[i]) for _, values, _ in points]} for i in shown
        ]
        return {
            "title": self._title,
            "high": self._high,
            "at_s": [round(at_s, 2) for at_s, _, _ in points],
            "lines": lines,
            "limit": [None if limit is None else _short(limit) for _, _, limit in points],
        }


def _short(value: float) -> float:
    return float(f"{value:.4g}")
