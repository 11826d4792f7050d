"""Sections of the report about what was done: what the conversion changed, and what it tried to repair."""

from __future__ import annotations

from edgert.profiler.report_html import Html, element, join
from edgert.profiler.report_plots import Bar, Row, plot, scale_over
from edgert.profiler.report_values import Json, format_number, format_value, number_at, rows_at, text_at
from edgert.profiler.report_view import ReportView, absent, card, format_decibel, table

__all__ = ["changes_section", "repair_section"]

OPEN_ROWS = 16


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


def repair_section(view: ReportView) -> Html | None:
    """Returns what the repair loop tried, in order, and how sensitive each layer is; None where it did not run."""
    steps, stopped = rows_at(view.report, "repair", "steps"), text_at(view.report, "repair", "stopped")
    parts = [_steps(steps), _sensitivity(rows_at(view.report, "sensitivity"))]
    if stopped is None and not any(parts):
        return None
    lead = "What was tried to bring the accuracy back, cheapest first; what did not help was taken back."
    return card("Repairs", lead, *parts[:1], element("p", stopped) if stopped else None, *parts[1:])


def _changes(report: Json) -> Html | None:
    rows = [
        element(
            "tr",
            *(
                element("td", text_at(change, key) or "\u2013", class_=class_)
                for key, class_ in _change_columns(report)
            ),
        )
        for change in rows_at(report, "changes")
    ]
    return table([(key, "text") for key, _ in _change_columns(report)], rows) if rows else None


def _change_columns(report: Json) -> list[tuple[str, str]]:
    columns = [("where", "name"), ("what", "wide"), ("why", "wide")]
    named = any(text_at(change, "step") for change in rows_at(report, "changes"))
    return [("step", "text"), *columns] if named else columns


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


def _steps(rows: list[dict[str, Json]]) -> Html | None:
    if not rows:
        return None
    units = [text_at(row, "cost_unit") for row in rows]
    heads = [
        ("step", "text"), ("where", "text"), ("same answer", ""), ("SQNR", ""),
        (f"cost, {next(filter(None, units), 'no unit')}", ""), ("kept", "text"), ("why", "text"),
    ]  # fmt: skip
    return table(heads, [_step(row) for row in rows])


def _step(row: dict[str, Json]) -> Html:
    agree, cost, kept, gate = number_at(row, "agree"), number_at(row, "cost"), row.get("kept"), text_at(row, "gate")
    cells = [
        element("td", text_at(row, "step") or "\u2013", class_="text"),
        element("td", text_at(row, "where") or "\u2013", class_="name"),
        element("td", "\u2013" if agree is None else f"{100 * agree:.2f} %"),
        element("td", format_decibel(row, "sqnr_db")),
        element("td", "\u2013" if cost is None else format_number(cost, 4)),
        element("td", {True: "yes", False: "no"}[kept] if isinstance(kept, bool) else "\u2013", class_="text"),
        element("td", text_at(row, "why") or "\u2013", element("br") if gate else None,
                element("small", gate) if gate else None, class_="wide"),
    ]  # fmt: skip
    return element("tr", *cells)


def _sensitivity(rows: list[dict[str, Json]]) -> Html | None:
    """One bar per layer or channel group: the output's SQNR when it alone is quantized, most sensitive first."""
    measured = [(value, row) for row in rows if (value := number_at(row, "sqnr_db")) is not None]
    if not measured:
        return None
    measured.sort(key=lambda pair: pair[0])
    scale = scale_over([value for value, _ in measured])
    axis = "SQNR of the outputs with only this quantized, dB (further right is better)"
    lines = [_sensitivity_row(value, row) for value, row in measured]
    parts: list[Html] = [element("h3", "Sensitivity of each layer"), plot(lines[:OPEN_ROWS], scale, axis)]
    if len(lines) > OPEN_ROWS:
        hidden = element("summary", f"{len(lines) - OPEN_ROWS} less sensitive ones")
        parts.append(element("details", hidden, plot(lines[OPEN_ROWS:], scale, axis)))
    return join(parts)


def _sensitivity_row(value: float, row: dict[str, Json]) -> Row:
    notes = [text_at(row, key) for key in ("op", "source", "group")]
    macs = number_at(row, "macs")
    figure = join([format_decibel(row, "sqnr_db"), element("small", f"{macs:,.0f} MACs") if macs else None])
    tone = "bad" if value < 10 else "doubt" if value < 20 else "plain"
    return Row(text_at(row, "layer") or "unnamed", figure, Bar(value, tone), ", ".join(filter(None, notes)))
