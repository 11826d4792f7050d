"""A microcontroller's profile record in words."""

from __future__ import annotations

from edgert.commands.console import format_table
from edgert.commands.energy_arguments import energy_lines
from edgert.profiler.board_record import BoardLayer, BoardRecord

__all__ = ["board_text"]

_LAYERS_SHOWN = 10


def board_text(record: BoardRecord) -> str:
    """Returns what `edgert profile` prints for a board."""
    spread, ram, flash = record.spread, record.ram_bytes, record.flash_bytes
    unit, where = _unit(record)
    lines = [
        f"{record.model.name} {record.variant} on {record.device.name} ({record.device.board})",
        f"{unit:<13}{record.count:,} per inference, {where}; {spread.min:,} to {spread.max:,} in {spread.runs} runs, "
        f"one tick is {spread.resolution:g}",
        f"RAM          {ram.total:,} bytes: arena {ram.arena:,}, data and bss {ram.data_bss:,}, "
        f"stack at its peak {ram.stack:,}",
        f"flash        {flash.code + flash.weights:,} bytes: code {flash.code:,} (firmware included), "
        f"weights {flash.weights:,}",
        *energy_lines(record),
    ]
    return "\n".join([*lines, *_layer_lines(record, unit)])


def _unit(record: BoardRecord) -> tuple[str, str]:
    if record.instructions is not None:
        return "instructions", "counted by an emulator (no measure of time)"
    return "cycles", f"counted by the core at {record.clock_hz / 1e6:g} MHz"


def _layer_lines(record: BoardRecord, unit: str) -> list[str]:
    total = sum(_count(layer) for layer in record.layers)
    if not total:
        return []
    largest = sorted(record.layers, key=lambda layer: -_count(layer))[:_LAYERS_SHOWN]
    rows = [_row(layer, total) for layer in largest]
    head = f"largest {len(largest)} of {len(record.layers)} layers, from a separate run"
    return ["", head, format_table(("layer", "operator", "kernel", unit, "share", "per MAC"), rows)]


def _row(layer: BoardLayer, total: int) -> tuple[str, ...]:
    count, name = _count(layer), layer.name.partition(";")[0]  # fused layers carry all of their names
    per_mac = f"{count / layer.macs:.2f}" if layer.macs else "-"
    return (name, layer.op, layer.kernel, f"{count:,}", f"{count / total:.1%}", per_mac)


def _count(layer: BoardLayer) -> int:
    return (layer.cycles if layer.instructions is None else layer.instructions) or 0
