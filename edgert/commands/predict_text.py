"""What `edgert predict` says of computers: a cost model that was learned, and what a model would cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from edgert.codec import JsonValue, to_plain
from edgert.commands.console import Console, format_table
from edgert.units import format_bytes, format_ms

if TYPE_CHECKING:
    from edgert.cost.forecast import Forecast, Int8Forecast, VariantForecast
    from edgert.cost.learn import Learned
    from edgert.cost.prediction import Prediction

__all__ = [
    "forecast_plain",
    "forecast_text",
    "guessed_line",
    "interval_cells",
    "interval_plain",
    "learned_plain",
    "learned_text",
]

_NAMES = 5


def learned_plain(learned: Learned) -> JsonValue:
    """Returns the JSON form."""
    cost = learned.cost
    return {
        "path": str(learned.path),
        "platform": to_plain(cost.platform),
        "networks": cost.networks,
        "energy": "energy" not in cost.missing,
        "memory": "memory" not in cost.missing,
        "records_sha256": cost.records_sha256,
        "notes": list(learned.notes),
    }


def learned_text(learned: Learned) -> str:
    """Returns what is printed."""
    cost = learned.cost
    missing = f" (no {' and no '.join(cost.missing)}: it was not measured)" if cost.missing else ""
    return f"learned from {cost.networks} networks{missing}\nwrote {learned.path}"


def forecast_plain(found: Forecast) -> JsonValue:
    """Returns the JSON form."""
    return {
        "device": found.device,
        "platform": to_plain(found.cost.platform),
        "learned": {"created": found.cost.created, "networks": found.cost.networks},
        "variants": [
            {
                "id": item.id,
                "latency_ms": interval_plain(item.costs.latency_ms),
                "energy_mj": interval_plain(item.costs.energy_mj),
                "peak_bytes": interval_plain(item.costs.peak_bytes),
                "guessed": list(item.costs.estimate.guessed),
                "layers": to_plain(item.layers),
            }
            for item in found.variants
        ],
        "int8": to_plain(found.int8),
    }


def interval_plain(value: Prediction | None) -> JsonValue:
    """Returns the JSON form of one prediction; an end that nothing bounds is null."""
    if value is None:
        return None
    high = float(value.high[0])
    bounds = {"low": float(value.low[0]), "high": high if high < float("inf") else None}
    return {"value": float(value.value[0]), **bounds, "level": value.level, "source": "estimated"}


def forecast_text(found: Forecast, layers: int, console: Console) -> str:
    """Returns what is printed, with so many layers of each variant."""
    platform = found.cost.platform
    threads = (
        f"{platform.threads} thread{'s' if platform.threads != 1 else ''}" if platform.threads else "its own threads"
    )
    head = f"{found.device}: {platform.engine} {platform.engine_version}, {threads}; predicted, not measured"
    parts = [head, "", _cost_table(found.variants)]
    for item in found.variants:
        parts += ["", *_layer_lines(item, layers)]
    if found.int8 is not None:
        parts += ["", *_int8_lines(found.int8, layers, console)]
    return "\n".join(parts)


def _cost_table(variants: Sequence[VariantForecast]) -> str:
    """One row per variant; quantities that no record held are left out."""
    level = f"{100 * variants[0].costs.latency_ms.level:.0f} %"
    header, rows = ["variant"], [[item.id] for item in variants]
    for name, form, values in (
        ("latency", format_ms, [item.costs.latency_ms for item in variants]),
        ("energy", lambda mj: f"{mj:.3g} mJ", [item.costs.energy_mj for item in variants]),
        ("memory", lambda size: format_bytes(round(size)), [item.costs.peak_bytes for item in variants]),
    ):
        if any(value is not None for value in values):
            header += [name, level]
            for row, value in zip(rows, values, strict=True):
                row.extend(interval_cells(value, form))
    return format_table(header, rows)


def interval_cells(value: Prediction | None, form: Callable[[float], str]) -> list[str]:
    """Returns the cells of value and interval."""
    if value is None:
        return ["-", ""]
    high = float(value.high[0])
    upper = form(high) if high < float("inf") else "any"
    return [form(float(value.value[0])), f"{form(float(value.low[0]))} to {upper}"]


def _layer_lines(item: VariantForecast, layers: int) -> list[str]:
    rows = [[row.name, row.kernel, format_ms(row.ms), f"{100 * row.share:.0f} %"] for row in item.layers[:layers]]
    lines = [format_table([f"layers of {item.id}", "kernel", "time", "share"], rows)]
    return [*lines, *guessed_line(item.costs.estimate.guessed)]


def guessed_line(names: Sequence[str]) -> list[str]:
    """Returns a line that names what was guessed; none where nothing was."""
    if not names:
        return []
    more = ", ..." if len(names) > _NAMES else ""
    return [f"guessed, for no such kernel was learned: {', '.join(names[:_NAMES])}{more}"]


def _int8_lines(found: Int8Forecast, layers: int, console: Console) -> list[str]:
    low, high = found.interval
    head = f"will int8 pay? {found.answer.value}: {found.ratio:.2f}x the time of float ({low:.2f} to {high:.2f})"
    rows = [
        [row.name, format_ms(row.ms), format_ms(row.int8_ms or 0.0), f"{row.int8_ratio:.2f}"]
        for row in found.layers[:layers]
        if row.int8_ratio is not None
    ]
    return [console.emphasize(head), format_table(["layer", "float", "int8", "ratio"], rows)]
