"""The curve of RAM against extra work in the report: the plans that generated C could have on a board."""

from __future__ import annotations

from edgert.profiler.report_html import Html, element, join
from edgert.profiler.report_plots import Scale, scale_over
from edgert.profiler.report_values import Json, format_number, mapping_at, number_at, rows_at, text_at
from edgert.profiler.report_view import ReportView, table

__all__ = ["curve_figures"]

_HEIGHT = 200
_MOST_POINTS = 200
_LEAD = (
    "Strips of rows make the arena smaller: layers of high resolution run part by part, and rows on the border of two "
    "parts are computed twice. Each dot is a plan; --max-ram takes the one of the least work that fits."
)


def curve_figures(view: ReportView) -> Html | None:
    """Returns a curve and its table for every variant of C that could have more than one plan."""
    parts: list[Html] = []
    for variant in rows_at(view.report, "variants"):
        fit = mapping_at(variant, "fit")
        points = rows_at(fit, "curve")[:_MOST_POINTS]
        if len(points) > 1:
            parts += [element("h3", f"RAM against extra work: {text_at(variant, 'id') or 'unnamed variant'}")]
            parts += _figures(fit, points)
    return join([element("p", _LEAD, class_="lead"), *parts]) if parts else None


def _figures(fit: dict[str, Json], points: list[dict[str, Json]]) -> list[Html]:
    macs = number_at(fit, "macs") or 0.0
    rows = [(_number(point, "ram_bytes"), _percent(point, macs)) for point in points]
    chosen = (_number(mapping_at(fit, "ram"), "bytes"), _percent(fit, macs))
    listed = element("details", element("summary", f"{len(points)} plans"), _table(points, macs))
    return [_chart(rows, chosen), listed]


def _chart(rows: list[tuple[float, float]], chosen: tuple[float, float]) -> Html:
    """Extra MACs in percent (upward) over RAM in bytes; a staircase, as what fits a limit is the dot left of it."""
    across = scale_over([ram for ram, _ in (*rows, chosen)], zero=False)
    upward = scale_over([extra for _, extra in (*rows, chosen)])
    dots = [_dot(ram, extra, across, upward, "dot", 3.5) for ram, extra in rows]
    dots.append(_dot(*chosen, across, upward, "dot good", 6))
    drawn = element(
        "svg",
        *_grid(across, upward),
        _stairs(rows, across, upward),
        *dots,
        class_="curve",
        width="100%",
        height=_HEIGHT,
        role="img",
        aria_label="; ".join(f"{ram:.0f} bytes of RAM: {format_number(extra)} % more MACs" for ram, extra in rows),
    )
    words = "extra MACs in percent, over bytes of RAM, stack and data included; the large dot is this variant"
    caption = element("div", words, class_="caption")
    return element("div", drawn, _ticks(across), caption, class_="plot")


def _stairs(rows: list[tuple[float, float]], across: Scale, upward: Scale) -> Html:
    """From the left: as much RAM as the next larger plan needs costs what this one does."""
    ordered = sorted(rows)
    corners: list[tuple[float, float]] = []
    for index, (ram, extra) in enumerate(ordered):
        following = ordered[index + 1][0] if index + 1 < len(ordered) else across.high
        corners += [(ram, extra), (following, extra)]
    points = " ".join(f"{across.percent(ram):.2f},{_top(extra, upward):.2f}" for ram, extra in corners)
    line = element("polyline", points=points, class_="wave", vector_effect="non-scaling-stroke")
    return element("svg", line, width="100%", height="100%", viewBox="0 0 100 100", preserveAspectRatio="none")


def _dot(ram: float, extra: float, across: Scale, upward: Scale, class_: str, radius: float) -> Html:
    left, top = f"{across.percent(ram):.2f}%", f"{_top(extra, upward):.2f}%"
    return element("circle", cx=left, cy=top, r=radius, class_=class_)


def _grid(across: Scale, upward: Scale) -> list[Html]:
    lines = [
        element("line", x1=f"{across.percent(x):.2f}%", x2=f"{across.percent(x):.2f}%", y1=0, y2="100%", class_="grid")
        for x in across.ticks
    ]
    for tick in upward.ticks:
        top = f"{_top(tick, upward):.2f}%"
        lines += [
            element("line", x1=0, x2="100%", y1=top, y2=top, class_="grid"),
            element("text", f"{format_number(tick)} %", x=0, y=top, dy=-2),
        ]
    return lines


def _ticks(across: Scale) -> Html:
    texts = [
        element("text", f"{tick:,.0f}", x=f"{across.percent(tick):.2f}%", y=13, text_anchor="middle")
        for tick in across.ticks
    ]
    return element("svg", *texts, class_="axis", width="100%", height=16, aria_hidden="true")


def _top(value: float, upward: Scale) -> float:
    """How far below the upper end, in percent; a margin keeps figures and dots inside."""
    return 10 + 0.85 * (100 - upward.percent(value))


def _table(points: list[dict[str, Json]], macs: float) -> Html:
    heads = (("RAM", "text"), ("arena", "text"), ("extra MACs", "text"), ("", "text"), ("in strips", "text"))
    return table(heads, [_row(point, macs) for point in points])


def _row(point: dict[str, Json], macs: float) -> Html:
    cuts = [
        f"{text_at(cut, 'first_layer')} to {text_at(cut, 'last_layer')}: {_number(cut, 'strips'):.0f}"
        for cut in rows_at(point, "cuts")
    ]
    cells = (
        f"{_number(point, 'ram_bytes'):,.0f} bytes",
        f"{_number(point, 'arena_bytes'):,.0f} bytes",
        f"{_number(point, 'extra_macs'):,.0f}",
        f"{format_number(_percent(point, macs))} %",
    )
    last = element("td", "; ".join(cuts) or "nothing", class_="wide")
    return element("tr", *(element("td", cell, class_="text") for cell in cells), last)


def _percent(point: dict[str, Json], macs: float) -> float:
    return 100 * _number(point, "extra_macs") / macs if macs > 0 else 0.0


def _number(data: dict[str, Json], key: str) -> float:
    return number_at(data, key) or 0.0
