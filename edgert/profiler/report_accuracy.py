"""Sections of the report about answers: verdicts, accuracy against the limit, worst samples, what was changed."""

from __future__ import annotations

from edgert.bundle import Variant
from edgert.profiler.report_html import Html, element, join
from edgert.profiler.report_plots import Interval, Row, plot, scale_over
from edgert.profiler.report_records import median_ms
from edgert.profiler.report_values import (
    Json,
    format_value,
    number_at,
    pair_at,
    png_at,
    rows_at,
    text_at,
)
from edgert.profiler.report_view import ReportView, absent, card, chip, format_metric, format_points, table
from edgert.units import format_bytes, format_ms

__all__ = ["accuracy_section", "changes_section", "samples_section", "verdict_list"]

MAX_SAMPLES = 24


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


def samples_section(view: ReportView) -> Html:
    """Returns the samples on which a variant disagrees most with the reference, with pictures where there are any."""
    samples = rows_at(view.report, "worst_samples")
    if not samples:
        return card(
            "Worst samples", None, absent("No sample was recorded on which a variant and the reference differ.")
        )
    lead = "Where a variant is furthest from the reference. Look at these before trusting an average."
    more = len(samples) - MAX_SAMPLES
    note = element("p", f"{more} more are in report.json.", class_="none") if more > 0 else None
    cards = element("div", *(_sample(view, sample) for sample in samples[:MAX_SAMPLES]), class_="samples")
    return card("Worst samples", lead, cards, note)


def changes_section(view: ReportView) -> Html:
    """Returns what the conversion changed and why: passes, layers left float, calibration, messages."""
    report = view.report
    parts = [_changes(report), _passes(report), _calibration(report), _messages(report)]
    notes = [element("li", element("code", v.id), " ", note) for v in view.manifest.variants for note in v.notes]
    if notes:
        parts.append(join([element("h3", "Notes"), element("ul", *notes, class_="plain")]))
    if not any(parts):
        return card("What was changed, and why", None, absent("The bundle does not say what was changed."))
    return card("What was changed, and why", None, *parts)


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
                element("td", _decibel(output, "sqnr_db_mean")),
                element("td", _decibel(output, "sqnr_db_worst")),
                element("td", _decibel(group, "sqnr_db"), element("small", f" {where}") if where else None),
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


def _decibel(data: Json, key: str) -> str:
    value = number_at(data, key)
    return "\u2013" if value is None else f"{value:.1f} dB".replace("-", "\u2212")


def _sample(view: ReportView, sample: dict[str, Json]) -> Html:
    picture = png_at(sample, "preview_png")
    name = format_value(sample.get("id")) or "?"
    image = (
        element("img", src=f"data:image/png;base64,{picture}", alt=f"sample {name}")
        if picture
        else element("p", "no picture", class_="none")
    )
    facts = [(title, format_value(sample.get(key))) for title, key in (("float", "reference"), ("here", "answer"))]
    lines = [element("div", element("small", f"{title} "), text) for title, text in facts if text is not None]
    sqnr = number_at(sample, "sqnr_db")
    if sqnr is not None:
        lines.append(element("div", element("small", f"SQNR {_decibel(sample, 'sqnr_db')}")))
    head = element("div", element("strong", name), " ", element("small", text_at(sample, "variant") or ""))
    return element("div", image, head, *lines, class_="sample")


def _changes(report: Json) -> Html | None:
    rows = [
        element(
            "tr",
            *(
                element("td", text_at(change, key) or "\u2013", class_=class_)
                for key, class_ in (("where", "name"), ("what", "wide"), ("why", "wide"))
            ),
        )
        for change in rows_at(report, "changes")
    ]
    return table([("where", "text"), ("what", "text"), ("why", "text")], rows) if rows else None


def _passes(report: Json) -> Html | None:
    rows = []
    for step in rows_at(report, "passes"):
        error, changed = number_at(step, "max_relative_error"), step.get("changed")
        count = {True: "yes", False: "no"}.get(changed) if isinstance(changed, bool) else format_value(changed)
        cells = [
            element("td", text_at(step, "name") or "unnamed", class_="name"),
            element("td", count or "\u2013"),
            element("td", "\u2013" if error is None else f"{error:.1e}" if error else "0"),
        ]
        rows.append(element("tr", *cells))
    if not rows:
        return None
    heads = [("pass", "text"), ("changed", ""), ("largest relative difference of an output", "")]
    return join([element("h3", "Passes, in order; the model ran before and after each"), table(heads, rows)])


def _calibration(report: Json) -> Html | None:
    spec, ranges, count = (
        text_at(report, "calibration", "spec"),
        text_at(report, "calibration", "ranges"),
        number_at(report, "calibration", "n"),
    )
    if spec is None and count is None and ranges is None:
        return None
    samples = "" if count is None else f"{count:.0f} samples"
    text = ", ".join(
        part for part in (samples, f"from {spec}" if spec else "", f"ranges {ranges}" if ranges else "") if part
    )
    return join([element("h3", "Calibration"), element("p", text)])


def _messages(report: Json) -> Html | None:
    messages = report.get("messages") if isinstance(report, dict) else None
    texts = [format_value(message) for message in messages] if isinstance(messages, list) else []
    if not texts:
        return None
    return join([element("h3", "Messages"), element("ul", *(element("li", t) for t in texts if t), class_="plain")])
