"""Charts of the search report: inline SVG whose lengths are percentages, so that lines stretch and text never does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgert.profiler.report_html import Html, element
from edgert.profiler.report_plots import Scale
from edgert.profiler.report_values import format_number

__all__ = ["CHART_STYLE", "Dot", "chart", "key", "line", "stretched"]

CHART_STYLE = """
svg.chart { margin-top: 8px; }
.framed { display: grid; grid-template-columns: auto minmax(0, 1fr); margin-top: 8px; }
.framed svg.chart { margin-top: 0; }
.chart polyline { fill: none; stroke: var(--accent); stroke-width: 1.8; }
.chart polyline.faint { stroke: var(--accent-soft); stroke-width: 1; opacity: 0.55; }
.chart polyline.best { stroke: var(--good); stroke-width: 1.8; }
.chart polyline.chosen { stroke: var(--text); stroke-width: 2.6; }
.chart polyline.same { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 4 4; }
circle.dot.faint { fill: var(--accent-soft); } circle.dot.over { fill: none; stroke: var(--bad); stroke-width: 1.4; }
circle.dot.chosen { fill: none; stroke: var(--text); stroke-width: 2; }
.keys { display: flex; flex-wrap: wrap; gap: 2px 16px; justify-content: center; }
.keys svg { display: inline-block; vertical-align: -1px; margin-right: 5px; }
line.axis { stroke: var(--soft); }
.chart text { paint-order: stroke; stroke: var(--card); stroke-width: 3px; }
pre { overflow-x: auto; background: var(--page); border-radius: 6px; padding: 10px 12px; }
pre code { overflow-wrap: normal; }
"""
"""What these charts need beyond the style of every report."""

_TOP, _BOTTOM = 7.0, 96.0
"""Where the track lies in the height of a chart, in percent: room for dots at the ceiling and on the floor."""

_CHARACTER, _GAP = 7, 10
"""Pixels that a character of a figure takes at most, and between figures and track."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A point with a text that shows when one points at it. `tone` is a class of the style."""

    x: float
    y: float
    tone: str
    text: str
    radius: float = 4


def chart(
    across: Scale,
    upward: Scale,
    *,
    titles: tuple[str, str],
    dots: Sequence[Dot] = (),
    lines: Iterable[Html] = (),
    limits: tuple[float | None, float | None] = (None, None),
    height: int = 280,
    description: str = "",
) -> Html:
    """Returns a chart with its axes.

    Args:
        across: of the horizontal axis.
        upward: of the vertical axis.
        titles: what the two axes show, with units, horizontal first.
        dots: from back to front.
        lines: made by `line`, behind the dots.
        limits: values drawn as dashed lines, on the horizontal and on the vertical axis.
        height: in pixels.
        description: the chart in words, for readers who cannot see it.
    """
    drawn = element(
        "svg",
        *_grid(across, upward),
        *_limits(across, upward, limits),
        *lines,
        *(_dot(dot, across, upward) for dot in dots),
        class_="chart",
        width="100%",
        height=height,
        role="img",
        aria_label=description,
    )
    ticks = [
        element("text", format_number(tick), x=f"{across.percent(tick):.2f}%", y=13, text_anchor="middle")
        for tick in across.ticks
    ]
    axis = element("svg", *ticks, class_="axis", width="100%", height=16, aria_hidden="true")
    framed = element("div", _figures(upward, height), drawn, element("div"), axis, class_="framed")
    caption = element("div", f"{titles[1]} (upward), over {titles[0]}", class_="caption")
    return element("div", framed, caption, class_="plot")


def line(points: Sequence[tuple[float, float]], across: Scale, upward: Scale, tone: str = "") -> Html:
    """Returns a line through points."""
    return stretched([(across.percent(x), _top(y, upward)) for x, y in points], tone)


def stretched(points: Sequence[tuple[float, float]], tone: str) -> Html:
    """Returns a line through points in percent from the left and the top."""
    text = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
    drawn = element("polyline", points=text, class_=tone or None, vector_effect="non-scaling-stroke")
    return element("svg", drawn, width="100%", height="100%", viewBox="0 0 100 100", preserveAspectRatio="none")


def key(entries: Sequence[tuple[str, str]]) -> Html:
    """Returns what the tones of dots mean: (tone, words)."""
    return element(
        "div",
        *(
            element("span", element("svg", _circle("6", "6", 4.5, tone), width=12, height=12), words)
            for tone, words in entries
        ),
        class_="caption keys",
    )


def _dot(dot: Dot, across: Scale, upward: Scale) -> Html:
    left, top = f"{across.percent(dot.x):.2f}%", f"{_top(dot.y, upward):.2f}%"
    return element("g", element("title", dot.text), _circle(left, top, dot.radius, dot.tone))


def _circle(left: str, top: str, radius: float, tone: str) -> Html:
    return element("circle", cx=left, cy=top, r=radius, class_=f"dot {tone}")


def _figures(upward: Scale, height: int) -> Html:
    """The figures of the vertical axis, left of the track, where no dot can lie on them."""
    texts = [format_number(tick) for tick in upward.ticks]
    width = _CHARACTER * max(map(len, texts)) + _GAP
    drawn = [
        element("text", text, x=width - _GAP, y=f"{_top(tick, upward):.2f}%", dy=4, text_anchor="end")
        for text, tick in zip(texts, upward.ticks, strict=True)
    ]
    return element("svg", *drawn, class_="axis", width=width, height=height, aria_hidden="true")


def _grid(across: Scale, upward: Scale) -> list[Html]:
    tops = [f"{_top(tick, upward):.2f}%" for tick in upward.ticks]
    return [
        *(_vertical(across.percent(tick), "grid") for tick in across.ticks),
        *(element("line", x1=0, x2="100%", y1=top, y2=top, class_="grid") for top in tops),
    ]


def _limits(across: Scale, upward: Scale, limits: tuple[float | None, float | None]) -> list[Html]:
    drawn = []
    if limits[0] is not None and across.low <= limits[0] <= across.high:
        drawn.append(_vertical(across.percent(limits[0]), "limit"))
    if limits[1] is not None and upward.low <= limits[1] <= upward.high:
        top = f"{_top(limits[1], upward):.2f}%"
        drawn.append(element("line", x1=0, x2="100%", y1=top, y2=top, class_="limit"))
    return drawn


def _vertical(percent: float, class_: str) -> Html:
    return element("line", x1=f"{percent:.2f}%", x2=f"{percent:.2f}%", y1=0, y2="100%", class_=class_)


def _top(value: float, upward: Scale) -> float:
    return _TOP + (_BOTTOM - _TOP) / 100 * (100 - upward.percent(value))
