"""Sections of the report about answers: verdicts, and accuracy against the limit."""

from __future__ import annotations

from edgert.bundle import Variant
from edgert.profiler.report_html import Html, element, join
from edgert.profiler.report_plots import Interval, Row, plot, scale_over
from edgert.profiler.report_records import median_ms
from edgert.profiler.report_values import (
    Json,
    number_at,
    pair_at,
    rows_at,
    text_at,
)
from edgert.profiler.report_view import (
    ReportView,
    absent,
    card,
    chip,
    format_decibel,
    format_metric,
    format_points,
    table,
)
from edgert.units import format_bytes, format_ms

__all__ = ["accuracy_section", "verdict_list"]


def verdict_list(view: ReportView) -> Html:
    """Returns one line per variant: verdict in a word and a colour, then the gate's own sentence."""
    items = []
    for variant in view.manifest.variants:
        word, tone = view.verdict(variant)
        sentence = text_at(view.accuracy(variant.id), "sentence") or _sentence(view, variant, word)
        facts = element("small", _key_figures(view, variant))
        text = element("div", element("strong", variant.id), f": {sentence}", facts)
        items.append(element("li", element("div", chip(word, tone)), text))
    return element("ul", *items, class_="verdicts")


def accuracy_section(view: ReportView) -> Html:
    """Returns the accuracy table and the drops with their intervals against the limit."""
    lead = "How much of the reference's quality each variant keeps, on the same held-out samples."
    rows = [view.accuracy(variant.id) for variant in view.manifest.variants]
    if all(number_at(row, "value") is None and number_at(row, "agree") is None for row in rows):
        return card("Accuracy", None, absent("No accuracy was measured. --eval DATA at conversion measures it."))
    heads = [
        ("variant", "text"),
        ("gate", "text"),
        (view.metric or "value", ""),
        ("drop, points", ""),
        ("95 % interval", ""),
        ("same answer", ""),
        ("n", ""),
    ]
    body = [_accuracy_row(view, variant) for variant in view.manifest.variants]
    return card("Accuracy", lead, table(heads, body), _drop_plot(view), _output_errors(view))


def _sentence(view: ReportView, variant: Variant, word: str) -> str:
    if word == "reference":
        row = view.accuracy(variant.id)
        count = number_at(row, "n")
        on = "" if count is None else f", on {count:.0f} samples"
        return f"what the others are compared with{on}."
    if word == "unverified":
        return "not compared with the reference; --calib and --eval at conversion verify it."
    return "the bundle gives no further explanation."


def _key_figures(view: ReportView, variant: Variant) -> str:
    value = number_at(view.accuracy(variant.id), "value")
    figures = [] if value is None else [f"{view.metric or 'value'} {format_metric(view, value)}"]
    figures.append(format_bytes(view.size_bytes(variant)))
    p50_ms = median_ms(view.records, variant.id)
    figures.append("latency not measured" if p50_ms is None else f"p50 {format_ms(p50_ms)}")
    return " \u00b7 ".join(figures)


def _accuracy_row(view: ReportView, variant: Variant) -> Html:
    row = view.accuracy(variant.id)
    is_reference = variant.id == view.reference_id
    word, tone = view.verdict(variant)
    interval = pair_at(row, "ci95")
    agree, count = number_at(row, "agree"), number_at(row, "n")
    cells = [
        element("td", variant.id, class_="name"),
        element("td", chip(word, tone), class_="text"),
        element("td", format_metric(view, number_at(row, "value"))),
        element("td", "\u2013" if is_reference else format_points(row, "drop") or "not measured"),
        element("td", _interval_text(interval) if interval and not is_reference else "\u2013"),
        element("td", f"{100 * agree:.2f} %" if agree is not None and not is_reference else "\u2013"),
        element("td", f"{count:.0f}" if count is not None else "\u2013"),
    ]
    return element("tr", *cells)


def _interval_text(interval: tuple[float, float]) -> str:
    low, high = (f"{round(end, 2) + 0.0:.2f}".replace("-", "\u2212") for end in interval)
    return f"{low} to {high}"


def _drop_plot(view: ReportView) -> Html | None:
    limit = number_at(view.report, "max_drop_points")
    rows, values = [], [] if limit is None else [limit]
    for variant in view.manifest.variants:
        row = view.accuracy(variant.id)
        drop, interval = number_at(row, "drop"), pair_at(row, "ci95")
        if drop is None or variant.id == view.reference_id:
            continue
        low, high = interval or (None, None)
        values += [drop, *(interval or ())]
        figure = join([format_points(row, "drop"), " points"])
        note = f"95 % interval {_interval_text(interval)}" if interval else "no interval"
        shape = Interval(drop, low, high, view.verdict(variant)[1])
        rows.append(Row(variant.id, join([figure, element("small", note)]), shape))
    if not rows:
        return None
    line = None if limit is None else (limit, f"largest drop allowed: {limit:.1f} points")
    axis = f"drop of {view.metric or 'the metric'} against {view.reference_id}, points (right is worse)"
    return join([element("h3", "Drop against the reference"), plot(rows, scale_over(values), axis, line)])


def _output_errors(view: ReportView) -> Html | None:
    rows = []
    for variant in view.manifest.variants:
        for output in rows_at(view.accuracy(variant.id), "outputs"):
            group = output.get("worst_group")
            where = _group_text(group)
            cells = [
                element("td", variant.id, class_="name"),
                element("td", text_at(output, "name") or "unnamed", class_="name"),
                element("td", format_decibel(output, "sqnr_db_mean")),
                element("td", format_decibel(output, "sqnr_db_worst")),
                element("td", format_decibel(group, "sqnr_db"), element("small", f" {where}") if where else None),
            ]
            rows.append(element("tr", *cells))
    if not rows:
        return None
    heads = [
        ("variant", "text"),
        ("output", "text"),
        ("SQNR mean", ""),
        ("worst sample", ""),
        ("worst channel group", ""),
    ]
    return join([element("h3", "Error of the outputs"), table(heads, rows)])


def _group_text(group: Json) -> str | None:
    axis, start, stop = (number_at(group, key) for key in ("axis", "start", "stop"))
    if axis is None or start is None or stop is None:
        return None
    return f"axis {axis:.0f}, {start:.0f}\u2013{stop - 1:.0f}" if stop - start > 1 else f"axis {axis:.0f}, {start:.0f}"
