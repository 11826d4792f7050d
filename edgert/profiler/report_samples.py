"""The section of the report with the samples that a variant answers worst, each with what the model saw."""

from __future__ import annotations

from edgert.profiler.report_html import Html, element, join
from edgert.profiler.report_values import (
    Json,
    format_number,
    format_value,
    number_at,
    numbers_at,
    png_at,
    rows_at,
    text_at,
)
from edgert.profiler.report_view import ReportView, absent, card, format_decibel

__all__ = ["samples_section"]

MAX_SAMPLES = 24
MAX_INPUTS = 4
MAX_POINTS = 512


def samples_section(view: ReportView) -> Html:
    """Returns the samples on which a variant disagrees most with the reference, each with its inputs."""
    samples = rows_at(view.report, "worst_samples")
    if not samples:
        return card(
            "Worst samples", None, absent("No sample was recorded on which a variant and the reference differ.")
        )
    lead = "Where a variant is furthest from the reference. Look at these before trusting an average."
    more = len(samples) - MAX_SAMPLES
    note = element("p", f"{more} more are in report.json.", class_="none") if more > 0 else None
    cards = element("div", *(_sample(sample) for sample in samples[:MAX_SAMPLES]), class_="samples")
    return card("Worst samples", lead, cards, note)


def _sample(sample: dict[str, Json]) -> Html:
    name = format_value(sample.get("id")) or "?"
    picture, views = png_at(sample, "preview_png"), rows_at(sample, "inputs")[:MAX_INPUTS]
    drawn = [_picture(picture, f"sample {name}")] if picture else [_input(view, name) for view in views]
    facts = [(title, format_value(sample.get(key))) for title, key in (("float", "reference"), ("here", "answer"))]
    lines = [element("div", element("small", f"{title} "), text) for title, text in facts if text is not None]
    agree = number_at(sample, "agree")
    if agree is not None:
        lines.append(element("div", element("small", f"same answer {100 * agree:.0f} %")))
    if number_at(sample, "sqnr_db") is not None:
        lines.append(element("div", element("small", f"SQNR {format_decibel(sample, 'sqnr_db')}")))
    head = element("div", element("strong", name), " ", element("small", text_at(sample, "variant") or ""))
    shown = drawn or [element("p", "no picture", class_="none")]
    return element("div", *shown, head, *lines, class_="sample")


def _picture(base64_png: str, description: str, class_: str | None = None) -> Html:
    return element("img", src=f"data:image/png;base64,{base64_png}", alt=description, class_=class_)


def _input(view: dict[str, Json], sample: str) -> Html:
    """One input: a picture, a line, or its numbers; below it its name, shape and range."""
    name, kind = text_at(view, "name") or "input", text_at(view, "kind")
    picture, values = png_at(view, "png"), numbers_at(view, "values")[:MAX_POINTS]
    description = f"{kind or 'values'} of input {name} of sample {sample}"
    if picture:
        drawn = _picture(picture, description, class_="heat" if kind == "heat map" else None)
    elif kind == "line" and len(values) > 1:
        drawn = _line(values, description)
    elif values:
        drawn = element("p", element("code", _listed(view, values)), class_="numbers")
    else:
        drawn = element("p", "no picture", class_="none")
    return join([drawn, element("div", element("small", _caption(view, name)))])


def _listed(view: dict[str, Json], values: list[float]) -> str:
    shape = [size for size in numbers_at(view, "shape") if size >= 0]
    count = 1.0
    for size in shape:
        count = min(count * size, 1e15)
    more = f" \u2026 ({count - len(values):.0f} more)" if count > len(values) else ""
    return ", ".join(format_number(value, 5) for value in values) + more


def _caption(view: dict[str, Json], name: str) -> str:
    shape = " x ".join(f"{size:.0f}" for size in numbers_at(view, "shape"))
    low, high = number_at(view, "low"), number_at(view, "high")
    span = "" if low is None or high is None else f", {format_number(low)} to {format_number(high)}"
    return f"{name} [{shape}]{span}"


def _line(values: list[float], description: str) -> Html:
    """A line over its whole range; stretched to the card, its stroke is not."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = " ".join(
        f"{100 * index / (len(values) - 1):.2f},{38 - 36 * (value - low) / span:.2f}"
        for index, value in enumerate(values)
    )
    curve = element("polyline", points=points, class_="wave", vector_effect="non-scaling-stroke")
    return element(
        "svg", curve, class_="signal", viewBox="0 0 100 40", preserveAspectRatio="none", role="img",
        aria_label=description,
    )  # fmt: skip
