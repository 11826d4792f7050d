"""Section of the report about microcontrollers: what generated C takes of the flash and RAM of each board."""

from __future__ import annotations

from edgert.profiler.report_curve import curve_figures
from edgert.profiler.report_html import Html, element
from edgert.profiler.report_values import Json, mapping_at, number_at, rows_at, text_at
from edgert.profiler.report_view import ReportView, card, chip, table
from edgert.units import format_bytes

__all__ = ["fit_section"]

_TONES = {"FITS": "good", "TIGHT": "doubt", "TOO BIG": "bad"}
_LEAD = (
    "Flash: weights and other constants, counted, and code, measured by a compiler or estimated. RAM: the arena with "
    "inputs and outputs, and what is kept for stack and data. The peak layer is where most of the arena is in use. "
    "Tight is more than nine tenths."
)


def fit_section(view: ReportView) -> Html | None:
    """Returns flash and RAM of every variant of C; None where the bundle has none."""
    rows = []
    for variant in rows_at(view.report, "variants"):
        fit = mapping_at(variant, "fit")
        rows += [_row(variant, fit, memory) for memory in ("flash", "ram") if fit]
    if not rows:
        return None
    heads = ("variant", "memory", "", "needs", "of", "made up of", "peak layer")
    return card("Memory of the boards", _LEAD, table([(head, "text") for head in heads], rows), curve_figures(view))


def _row(variant: dict[str, Json], fit: dict[str, Json], name: str) -> Html:
    memory = mapping_at(fit, name)
    verdict = text_at(memory, "verdict") or "unknown"
    cells = (
        text_at(variant, "id") or "unnamed variant",
        "RAM" if name == "ram" else name,
        chip(verdict, _TONES.get(verdict, "none")),
        _bytes(memory, "bytes"),
        _bytes(memory, "limit_bytes"),
    )
    words = (_ram_parts(memory) if name == "ram" else _flash_parts(memory), text_at(memory, "peak_layer"))
    wide = (element("td", cell, class_="wide") for cell in words)
    return element("tr", *(element("td", cell, class_="text") for cell in cells), *wide)


def _flash_parts(memory: dict[str, Json]) -> str:
    source = text_at(memory, "code_measured_with")
    how = f"measured with {source}" if source else "estimated"
    return f"constants {_bytes(memory, 'constants_bytes')}, code {_bytes(memory, 'code_bytes')} ({how})"


def _ram_parts(memory: dict[str, Json]) -> str:
    return f"arena {_bytes(memory, 'arena_bytes')}, stack and data {_bytes(memory, 'stack_data_bytes')}"


def _bytes(memory: dict[str, Json], key: str) -> str:
    value = number_at(memory, key)
    if value is None:
        return "\u2013"
    return f"{int(value):,} bytes" if value < 1e6 else format_bytes(int(value))
