"""Sections of the report about cost inside the model: size, what each layer costs and what error it adds."""

from __future__ import annotations

from edgert.bundle import LayerRecord, Variant
from edgert.profiler.report_html import Html, element, join
from edgert.profiler.report_plots import Bar, Row, bar_cell, plot, scale_over
from edgert.profiler.report_records import LayerTime, layer_times
from edgert.profiler.report_values import Json, number_at, rows_at, text_at
from edgert.profiler.report_view import ReportView, absent, card, table
from edgert.units import format_bytes, format_count, format_ms

__all__ = ["cost_section", "error_section", "size_section"]

OPEN_ROWS = 16


def size_section(view: ReportView) -> Html:
    """Returns the size of every variant's files and its peak activation memory."""
    sizes = [view.size_bytes(variant) for variant in view.manifest.variants]
    reference = next((s for v, s in zip(view.manifest.variants, sizes, strict=True) if v.id == view.reference_id), 0)
    unit, factor = ("MB", 1e6) if max(sizes) >= 1e6 else ("kB", 1e3)
    rows = []
    for variant, size in zip(view.manifest.variants, sizes, strict=True):
        share = f", {size / reference:.2f}x" if reference and variant.id != view.reference_id else ""
        peak = f"activations {format_bytes(variant.peak_activation_bytes)}" if variant.peak_activation_bytes else None
        figure = join([format_bytes(size) + share, element("small", peak) if peak else None])
        rows.append(Row(variant.id, figure, Bar(size / factor)))
    scale = scale_over([size / factor for size in sizes])
    lead = (
        "Files of each variant as they stand in the bundle, of C weights and other constants; activations: the largest "
        "sum alive at once, estimated."
    )
    return card("Size", lead, plot(rows, scale, f"size of the files, {unit}"))


def cost_section(view: ReportView) -> Html:
    """Returns MACs, bytes and measured time of every layer, one table per variant."""
    parts: list[Html] = []
    for variant in view.manifest.variants:
        if variant.layers:
            costs = join([_cost_table(variant), _time_plot(layer_times(view.records, variant.id))])
            is_open = variant.id in {view.reference_id, view.manifest.default_variant}
            parts += [element("h3", variant.id), costs] if is_open else [_folded(variant.id, costs)]
    if not parts:
        return card("Cost of each layer", None, absent("The bundle lists no layers."))
    lead = (
        "Multiply-accumulates and bytes are counted from the shapes, for one sample. Times come from a separate run "
        "with the engine's profiler, which slows the model: compare operators with them, not variants. Engines merge "
        "and rename layers, so times carry the engine's own names."
    )
    return card("Cost of each layer", lead, *parts)


def error_section(view: ReportView) -> Html:
    """Returns the signal-to-noise ratio of every layer against float, worst channel group included, worst first."""
    by_variant: dict[str, list[dict[str, Json]]] = {}
    for row in rows_at(view.report, "layers") or rows_at(view.report, "worst_layers"):
        by_variant.setdefault(text_at(row, "variant") or "unnamed variant", []).append(row)
    parts: list[Html] = []
    for variant_id, rows in by_variant.items():
        drawn = sorted((row for row in rows if _worst(row) is not None), key=lambda row: _worst(row) or 0.0)
        if drawn:
            parts += [element("h3", variant_id), *_error_plots(drawn)]
    if not parts:
        return card(
            "Error of each layer", None, absent("No layer errors were measured (no calibration data, or float only).")
        )
    lead = (
        "Signal-to-quantization-noise ratio (SQNR) against float in decibels: 20 dB is an error of a tenth of the "
        "signal, 40 dB of a hundredth. Bar: the worst channel group, which decides; stroke: the whole tensor."
    )
    return card("Error of each layer", lead, *parts)


def _cost_table(variant: Variant) -> Html:
    layers = sorted(variant.layers, key=lambda layer: layer.macs, reverse=True)
    largest = (
        max(layer.macs for layer in layers),
        max(layer.weight_bytes for layer in layers),
        max(layer.activation_bytes for layer in layers),
    )
    heads = [("layer", "text"), ("operator", "text"), ("MACs", ""), ("weights", ""), ("activations", "")]
    rows = [_cost_row(layer, largest) for layer in layers]
    shown, hidden = table(heads, rows[:OPEN_ROWS], sortable=True), rows[OPEN_ROWS:]
    return join(
        [shown, _folded(f"{len(hidden)} cheaper layers", table(heads, hidden, sortable=True)) if hidden else None]
    )


def _cost_row(layer: LayerRecord, largest: tuple[int, int, int]) -> Html:
    macs, weights, activations = largest
    cells = [
        element("td", layer.name or "unnamed", class_="name"),
        element("td", layer.op, class_="text"),
        bar_cell(layer.macs, macs, format_count(layer.macs)),
        bar_cell(layer.weight_bytes, weights, format_bytes(layer.weight_bytes)),
        bar_cell(layer.activation_bytes, activations, format_bytes(layer.activation_bytes)),
    ]
    return element("tr", *cells)


def _time_plot(times: list[LayerTime]) -> Html:
    if not times:
        return absent("Time of each operator: not measured.")
    total_ms = sum(time.mean_ms for time in times) or 1.0
    rows = [
        Row(
            time.name,
            join([format_ms(time.mean_ms), element("small", f"{100 * time.mean_ms / total_ms:.1f} %")]),
            Bar(1000 * time.mean_ms),
            time.op,
        )
        for time in sorted(times, key=lambda time: time.mean_ms, reverse=True)
    ]
    scale, axis = scale_over([1000 * time.mean_ms for time in times]), "mean time in the profiled run, \u00b5s"
    hidden = rows[OPEN_ROWS:]
    return join(
        [
            element("h4", "Time of each operator as the engine ran it"),
            plot(rows[:OPEN_ROWS], scale, axis),
            _folded(f"{len(hidden)} faster operators", plot(hidden, scale, axis)) if hidden else None,
        ]
    )


def _error_plots(rows: list[dict[str, Json]]) -> list[Html]:
    values = [value for row in rows for value in (_worst(row), number_at(row, "sqnr_db")) if value is not None]
    scale = scale_over(values)
    lines = [_error_row(row) for row in rows]
    axis = "SQNR, dB (further right is better)"
    parts = [plot(lines[:OPEN_ROWS], scale, axis)]
    if len(lines) > OPEN_ROWS:
        parts.append(_folded(f"{len(lines) - OPEN_ROWS} layers with less error", plot(lines[OPEN_ROWS:], scale, axis)))
    return parts


def _error_row(row: dict[str, Json]) -> Row:
    worst, whole, gain = _worst(row), number_at(row, "sqnr_db"), number_at(row, "gain_db")
    tone = "bad" if worst is not None and worst < 10 else "doubt" if worst is not None and worst < 20 else "plain"
    figure = f"{worst:.1f} dB".replace("-", "\u2212")
    details = [] if whole is None else [f"whole {whole:.1f}"]
    if gain is not None:
        details.append(f"kept float {gain:+.1f} dB".replace("-", "\u2212"))
    text = join([figure, element("small", ", ".join(details)) if details else None])
    return Row(text_at(row, "name") or "unnamed", text, Bar(worst or 0.0, tone, whole), text_at(row, "op"))


def _worst(row: dict[str, Json]) -> float | None:
    """Returns the SQNR of the worst channel group; where only the whole tensor was measured, that."""
    worst = number_at(row, "worst_group_sqnr_db")
    return worst if worst is not None else number_at(row, "sqnr_db")


def _folded(title: str, content: Html) -> Html:
    return element("details", element("summary", title), content)
