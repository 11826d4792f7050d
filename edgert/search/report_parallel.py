"""Parallel coordinates: every candidate a line over its choices and what was measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgert.profiler.report_html import Html, element
from edgert.profiler.report_values import format_number
from edgert.profiler.report_view import card
from edgert.search.goals import Quantity
from edgert.search.report_chart import stretched
from edgert.search.result import SearchResult
from edgert.search.standing import Point
from edgert.search.words import axis_title

__all__ = ["parallel_section"]

_HEIGHT = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 4.0, 94.0, 6.0, 94.0
_MOST_LINES = 400
_MOST_LABELS = 9


@dataclass(frozen=True, slots=True)
class _Axis:
    """One upright line: where a point crosses it, 0 at the bottom to 1, and the labels beside it."""

    title: str
    heights: Mapping[int, float]
    labels: tuple[tuple[float, str], ...]


def parallel_section(result: SearchResult) -> Html | None:
    """Returns the plot; the front in front."""
    standing, goals = result.standing, result.settings.goals
    points = list(standing.points)[-_MOST_LINES:]
    if len(points) < 2:
        return None
    axes = [_of_dimension(name, values, points) for name, values in result.dimensions.items() if len(values) > 1]
    axes += [_of_quantity(quantity, points) for quantity in goals.quantities]
    places = [_LEFT + (_RIGHT - _LEFT) * index / max(1, len(axes) - 1) for index in range(len(axes))]
    front, chosen = {point.number for point in standing.front}, result.chosen
    toned = [("faint", point) for point in points if point.number not in front]
    toned += [("best", point) for point in points if point.number in front]
    toned += [("chosen", point) for point in points if chosen is not None and point.number == chosen.number]
    lines = [
        stretched([(x, _top(axis.heights[point.number])) for x, axis in zip(places, axes, strict=True)], tone)
        for tone, point in toned
    ]
    parts = [part for x, axis in zip(places, axes, strict=True) for part in _drawn(x, axis)]
    svg = element(
        "svg",
        *lines,
        *parts,
        class_="chart",
        width="100%",
        height=_HEIGHT,
        role="img",
        aria_label=f"{len(points)} candidates over {', '.join(axis.title for axis in axes)}",
    )
    titles = [
        element(
            "text", axis.title, x=f"{x:.2f}%", y=13 if index % 2 == 0 else 29, text_anchor=_anchor(index, len(axes))
        )
        for index, (x, axis) in enumerate(zip(places, axes, strict=True))
    ]
    below = element("svg", *titles, class_="axis", width="100%", height=34, aria_hidden="true")
    lead = "A line for every candidate that works: green those on the front, thick the chosen one."
    return card("Choices side by side", lead, element("div", svg, below, class_="plot"))


def _of_dimension(name: str, values: tuple[str | int | float, ...], points: list[Point]) -> _Axis:
    step = 1 / (len(values) - 1)
    heights = {value: index * step for index, value in enumerate(values)}
    every = -(-len(values) // _MOST_LABELS)
    labels = tuple((heights[value], str(value)) for index, value in enumerate(values) if index % every == 0)
    return _Axis(name, {point.number: heights[point.choice[name]] for point in points}, labels)


def _of_quantity(quantity: Quantity, points: list[Point]) -> _Axis:
    values = {point.number: point.measured[quantity] for point in points}
    low, high = min(values.values()), max(values.values())
    span = (high - low) or 1.0
    labels = tuple((share, format_number(low + share * (high - low))) for share in (0.0, 0.5, 1.0))
    return _Axis(axis_title(quantity), {number: (value - low) / span for number, value in values.items()}, labels)


def _drawn(x: float, axis: _Axis) -> list[Html]:
    upright = element("line", x1=f"{x:.2f}%", x2=f"{x:.2f}%", y1=f"{_TOP}%", y2=f"{_BOTTOM}%", class_="axis")
    labels = [
        element("text", text, x=f"{x:.2f}%", y=f"{_top(height):.2f}%", dx=5, dy=4) for height, text in axis.labels
    ]
    return [upright, *labels]


def _top(height: float) -> float:
    return _BOTTOM - (_BOTTOM - _TOP) * height


def _anchor(index: int, count: int) -> str:
    if index == 0:
        return "start"
    return "end" if index == count - 1 else "middle"
