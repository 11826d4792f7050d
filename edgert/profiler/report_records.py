"""Latency in the report, and the figures that other sections take from profile records (edgert.profiler.record)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgert.bundle import Variant
from edgert.profiler.report_html import Html, element, join
from edgert.profiler.report_plots import Interval, Row, plot, scale_over
from edgert.profiler.report_values import (
    Json,
    format_number,
    mapping_at,
    number_at,
    pair_at,
    rows_at,
    text_at,
)
from edgert.profiler.report_view import ReportView, absent, card

__all__ = ["LayerTime", "device_name", "latency_section", "layer_times", "measured_on", "median_ms"]

_TONES = {"valid": "good", "degraded": "doubt", "invalid": "bad"}


def measured_on(records: Sequence[dict[str, Json]]) -> str | None:
    """Returns the devices and dates of the records, None without records."""
    parts = []
    for record in records:
        date = text_at(record, "created")
        part = f"{device_name(record)}{f', {date}' if date else ''}"
        if part not in parts:
            parts.append(part)
    return "; ".join(parts) or None


def latency_section(view: ReportView) -> Html:
    """Returns p50, p90 and p99 of every variant and record on one time axis."""
    rows, times = [], []
    for variant, record in _by_variant(view):
        if record is None:
            rows.append(Row(variant.id, element("span", "not measured", class_="none")))
            continue
        row = _latency_row(view, variant, record)
        rows.append(row)
        if isinstance(row.shape, Interval):
            times += [row.shape.value, *row.shape.marks, *(end for end in (row.shape.low, row.shape.high) if end)]
    note = None
    if view.foreign_records:
        note = absent(f"Left out: {view.foreign_records} records of files that are not in this bundle.")
    if not times:
        text = "Not measured: no profile record was given. edgert profile makes one; edgert report --record adds it."
        return card("Latency", None, absent(text), note)
    unit, factor = ("ms", 1.0) if max(times) >= 0.1 else ("\u00b5s", 1000.0)
    scale = scale_over([factor * time for time in times])
    lead = "Time of one inference. Dot: median with its 95 % interval; strokes: p90 and p99."
    return card("Latency", lead, plot([_scaled(row, factor) for row in rows], scale, f"latency, {unit}"), note)


def median_ms(records: Sequence[dict[str, Json]], variant_id: str) -> float | None:
    """Returns the median latency from the first record of a variant that has one."""
    medians = (number_at(r, "latency", "p50_ms") for r in records if text_at(r, "variant") == variant_id)
    return next((median for median in medians if median is not None), None)


@dataclass(frozen=True, slots=True)
class LayerTime:
    """Mean time of one operator as the engine ran it."""

    name: str
    op: str
    mean_ms: float


def layer_times(records: Sequence[dict[str, Json]], variant_id: str) -> list[LayerTime]:
    """Returns the operator times of the first record of a variant that has any."""
    for record in records:
        if text_at(record, "variant") != variant_id:
            continue
        times = [
            LayerTime(text_at(row, "name") or "unnamed", text_at(row, "op") or "", mean_ms)
            for row in rows_at(record, "layers")
            if (mean_ms := number_at(row, "mean_ms")) is not None
        ]
        if times:
            return times
    return []


def _by_variant(view: ReportView) -> Iterator[tuple[Variant, dict[str, Json] | None]]:
    for variant in view.manifest.variants:
        records = [record for record in view.records if text_at(record, "variant") == variant.id]
        if not records:
            yield variant, None
        for record in records:
            yield variant, record


def _latency_row(view: ReportView, variant: Variant, record: dict[str, Json]) -> Row:
    latency = mapping_at(record, "latency")
    p50, p90, p99 = (number_at(latency, key) for key in ("p50_ms", "p90_ms", "p99_ms"))
    if p50 is None:
        return Row(variant.id, element("span", "not measured", class_="none"), None, device_name(record))
    interval = pair_at(latency, "p50_ci95_ms")
    low, high = interval or (None, None)
    unit, factor = ("ms", 1.0) if p50 >= 0.1 else ("\u00b5s", 1000.0)
    tails = " / ".join("\u2013" if tail is None else format_number(factor * tail) for tail in (p90, p99))
    ratio = _ratio(view, variant, record, p50)
    figure = join(
        [
            f"{format_number(factor * p50)} {unit}",
            f" ({ratio})" if ratio else None,
            element("small", f"p90 / p99 {tails} {unit}"),
        ]
    )
    verdict = text_at(record, "verdict")
    tone = "doubt" if verdict == "degraded" else "bad" if verdict == "invalid" else "plain"
    note = device_name(record) + (f", {verdict}" if verdict not in {None, "valid"} else "")
    marks = tuple(tail for tail in (p90, p99) if tail is not None)
    return Row(variant.id, figure, Interval(p50, low, high, tone, marks), note)


def _ratio(view: ReportView, variant: Variant, record: dict[str, Json], p50_ms: float) -> str | None:
    if variant.id == view.reference_id:
        return None
    for other in view.records:
        reference_ms = number_at(other, "latency", "p50_ms")
        same = text_at(other, "variant") == view.reference_id and device_name(other) == device_name(record)
        if same and reference_ms:
            return f"{p50_ms / reference_ms:.2f}x"
    return None


def _scaled(row: Row, factor: float) -> Row:
    shape = row.shape
    if not isinstance(shape, Interval):
        return row
    low, high = (None if end is None else factor * end for end in (shape.low, shape.high))
    marks = tuple(factor * mark for mark in shape.marks)
    return Row(row.label, row.figure, Interval(factor * shape.value, low, high, shape.tone, marks), row.note)


def device_name(record: Mapping[str, Json]) -> str:
    """Returns what a record calls its device."""
    for keys in (("device", "name"), ("device", "board"), ("device", "cpu"), ("device", "soc")):
        name = text_at(record, *keys)
        if name is not None:
            return name
    return "unnamed device"
