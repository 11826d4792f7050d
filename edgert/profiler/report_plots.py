"""The plots of the report: inline SVG whose lengths are percentages, so that bars stretch and text never does.

A plot is a list of rows (label, track, figure) above one axis. All tracks of a plot share one `Scale`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgert.profiler.report_html import Html, element, raw
from edgert.profiler.report_values import format_number

__all__ = ["Bar", "Interval", "Row", "Scale", "bar_cell", "plot", "scale_over"]

_MARGIN_PERCENT = 2.0
_TRACK_HEIGHT = 40


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear axis from `low` to `high` with ticks in between."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def percent(self, value: float) -> float:
        """Returns where a value lies on the track, in percent of its width; beyond the ends is cut."""
        share = (value - self.low) / (self.high - self.low)
        return _MARGIN_PERCENT + (100 - 2 * _MARGIN_PERCENT) * min(max(share, 0.0), 1.0)


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar from zero to `value`; `mark` is a second value drawn as a stroke on the same track."""

    value: float
    tone: str = "plain"
    mark: float | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """A point with an interval; `marks` are further values drawn as short strokes."""

    value: float
    low: float | None = None
    high: float | None = None
    tone: str = "plain"
    marks: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a plot. `shape` None draws an empty track (nothing measured); `figure` says the numbers in words."""

    label: str
    figure: Html | str
    shape: Bar | Interval | None = None
    note: str | None = None


def scale_over(values: Sequence[float], *, zero: bool = True) -> Scale:
    """Returns a scale with round ticks that covers all values (and zero)."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low <= max(1e-9 * max(abs(high), abs(low)), 1e-30):
        high = low + max(abs(low), 1.0)
    step = _round_step((high - low) / 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(float(f"{i * step:.12g}") + 0.0 for i in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks)


def plot(rows: Sequence[Row], scale: Scale, axis_label: str, limit: tuple[float, str] | None = None) -> Html:
    """Returns the rows over their axis.

    Args:
        rows: from top to bottom.
        scale: shared by all rows.
        axis_label: what the axis shows, with its unit.
        limit: a value and its name, drawn as a dashed line through all tracks.
    """
    lines = [_line(row, scale, limit[0] if limit else None) for row in rows]
    return element("div", *lines, _axis(scale, axis_label, limit), class_="plot")


def bar_cell(value: float | None, largest: float, text: str) -> Html:
    """Returns a table cell with a number and a small bar, as long as the value's share of the largest one."""
    if value is None:
        return element("td", element("span", text, class_="none"), class_="bar", data_sort="-1")
    share = 100 * value / largest if largest > 0 else 0.0
    track = element(
        "svg",
        element("rect", x=0, y=0, width="100%", height=5, rx=2, class_="fill track"),
        element("rect", x=0, y=0, width=f"{share:.2f}%", height=5, rx=2, class_="fill plain"),
        width="100%",
        height=5,
        aria_hidden="true",
    )
    return element("td", element("span", text), track, class_="bar", data_sort=f"{value:.9g}")


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if rough <= power * factor * (1 + 1e-9))


def _line(row: Row, scale: Scale, limit: float | None) -> Html:
    parts: list[Html] = [_vertical(scale.percent(tick), "grid") for tick in scale.ticks]
    if scale.low < 0 < scale.high:
        parts.append(_vertical(scale.percent(0), "zero"))
    if limit is not None:
        parts.append(_vertical(scale.percent(limit), "limit"))
    if isinstance(row.shape, Bar):
        parts += _bar(row.shape, scale)
    elif isinstance(row.shape, Interval):
        parts += _interval(row.shape, scale)
    track = element(
        "svg", *parts, class_="track", width="100%", height=_TRACK_HEIGHT, role="img", aria_label=_description(row)
    )
    label = element("div", row.label, element("small", row.note) if row.note else None, class_="label")
    return element("div", label, track, element("div", row.figure, class_="figure"), class_="row")


def _description(row: Row) -> str:
    """Returns the row's numbers for a reader that cannot see the plot."""
    if row.shape is None:
        return f"{row.label}: not measured"
    text = f"{row.label}: {format_number(row.shape.value)}"
    if isinstance(row.shape, Interval) and row.shape.low is not None and row.shape.high is not None:
        text += f", 95 % interval {format_number(row.shape.low)} to {format_number(row.shape.high)}"
    return text


def _bar(shape: Bar, scale: Scale) -> list[Html]:
    start, end = sorted((scale.percent(max(scale.low, 0.0)), scale.percent(shape.value)))
    width = max(end - start, 0.15)
    parts = [
        element("rect", x=f"{start:.2f}%", y=14, width=f"{width:.2f}%", height=12, rx=2, class_=f"fill {shape.tone}")
    ]
    if shape.mark is not None:
        parts.append(_vertical(scale.percent(shape.mark), f"mark {shape.tone}", 10, 30))
    return parts


def _interval(shape: Interval, scale: Scale) -> list[Html]:
    middle = _TRACK_HEIGHT / 2
    parts: list[Html] = []
    if shape.low is not None and shape.high is not None:
        low, high = scale.percent(shape.low), scale.percent(shape.high)
        parts.append(
            element("line", x1=f"{low:.2f}%", x2=f"{high:.2f}%", y1=middle, y2=middle, class_=f"span {shape.tone}")
        )
        parts += [_vertical(end, f"span {shape.tone}", 15, 25) for end in (low, high)]
    parts += [_vertical(scale.percent(mark), f"mark {shape.tone}", 13, 27) for mark in shape.marks]
    parts.append(
        element("circle", cx=f"{scale.percent(shape.value):.2f}%", cy=middle, r=4.5, class_=f"dot {shape.tone}")
    )
    return parts


def _vertical(percent: float, class_: str, top: float = 0, bottom: float = _TRACK_HEIGHT) -> Html:
    return element("line", x1=f"{percent:.2f}%", x2=f"{percent:.2f}%", y1=top, y2=bottom, class_=class_)


def _axis(scale: Scale, label: str, limit: tuple[float, str] | None) -> Html:
    ticks = [
        element("text", format_number(tick), x=f"{scale.percent(tick):.2f}%", y=13, text_anchor="middle")
        for tick in scale.ticks
    ]
    svg = element("svg", *ticks, class_="axis", width="100%", height=16, aria_hidden="true")
    key = raw('<svg width="14" height="12" class="key"><line x1="7" x2="7" y1="0" y2="12" class="limit"/></svg>')
    caption = element("div", label, element("div", key, limit[1]) if limit else None, class_="caption")
    return element("div", element("div", class_="label"), element("div", svg, caption), class_="row foot")
