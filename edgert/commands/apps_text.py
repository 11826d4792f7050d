"""What a board says about its apps, in words."""

from __future__ import annotations

from typing import Any

from edgert.commands.console import format_table

__all__ = ["status_text"]

_HEADER = ("device", "app", "release", "state", "health", "at boot")

Facts = dict[str, Any]  # Any: JSON values


def status_text(rows: list[Facts]) -> str:
    """Returns a table of apps; each row is an app of edgert.onboard.apps with its `device`, or a device's `error`."""
    cells = [_cells(row) for row in rows]
    notes = [f"{row['device']}: {note}" for row in rows if (note := _note(row))]
    table = format_table(_HEADER, cells) if cells else "no apps"
    return "\n".join([table, *notes])


def _cells(row: Facts) -> tuple[str, ...]:
    if "error" in row:
        return (row["device"], "", "", "unreachable", "", "")
    if row["app"] is None:
        return (row["device"], "no apps", "", "", "", "")
    service, state = row["service"], row["state"]
    running = "ready" if service["is_ready"] else "starting" if service["is_active"] else "stopped"
    release = state["trial"] or state["trusted"] or ""
    trial = " (trial)" if state["trial"] else ""
    return (
        row["device"],
        row["app"],
        f"{release}{trial}",
        f"{running}, {service['restarts']} restarts" if service["restarts"] else running,
        _health(row["health"]),
        "yes" if service["starts_at_boot"] else "no",
    )


def _health(health: Facts | None) -> str:
    if health is None:
        return "says nothing"
    if not health["is_healthy"]:
        return f"{health['phase']}: {health['problem'] or 'no frames'}"
    took = health["inference_ms"]
    return f"{health['fps']:.3g} frames/s" + (f", p95 {took['p95']:.4g} ms" if took else "")


def _note(row: Facts) -> str:
    if "error" in row:
        return str(row["error"])
    service = row.get("service")
    return str(service["starts_at_boot_reason"]) if service and not service["starts_at_boot"] else ""
