"""What `edgert predict` says of microcontrollers: instructions, RAM and flash, what of it is exact, and layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgert.codec import JsonValue, to_plain
from edgert.commands.console import format_table
from edgert.commands.predict_text import guessed_line, interval_cells, interval_plain

if TYPE_CHECKING:
    from edgert.cost.board_forecast import BoardForecast
    from edgert.cost.board_learn import BoardLearned

__all__ = ["board_forecast_plain", "board_forecast_text", "board_learned_plain", "board_learned_text"]


def board_learned_plain(learned: BoardLearned) -> JsonValue:
    """Returns the JSON form."""
    cost = learned.cost
    return {
        "path": str(learned.path),
        "platform": to_plain(cost.platform),
        "networks": cost.networks,
        "families": sorted(cost.instructions.families),
        "records_sha256": cost.records_sha256,
        "notes": list(learned.notes),
    }


def board_learned_text(learned: BoardLearned) -> str:
    """Returns what is printed."""
    return f"learned from {learned.cost.networks} networks\nwrote {learned.path}"


def board_forecast_plain(found: BoardForecast) -> JsonValue:
    """Returns the JSON form."""
    costs = found.costs
    return {
        "device": found.device,
        "platform": to_plain(found.cost.platform),
        "learned": {"created": found.cost.created, "networks": found.cost.networks},
        "variants": [
            {
                "id": found.variant,
                "instructions": interval_plain(costs.instructions),
                "ram_bytes": {
                    **interval_plain(costs.ram_bytes),
                    "arena": costs.arena_bytes,
                    "data_bss": found.cost.data_bytes,
                    "stack": interval_plain(costs.stack_bytes),
                },
                "flash_bytes": {
                    **interval_plain(costs.flash_bytes),
                    "weights": costs.weight_bytes,
                    "code": interval_plain(costs.code_bytes),
                },
                "guessed": list(costs.estimate.guessed),
                "layers": to_plain(found.layers),
            }
        ],
    }


def board_forecast_text(found: BoardForecast, layers: int) -> str:
    """Returns what is printed, with so many layers."""
    costs, platform = found.costs, found.cost.platform
    board = found.target.microcontroller
    assert board is not None
    head = (
        f"{found.device}: {platform.core} in an emulator, instructions are no measure of time; predicted, not counted"
    )
    rows = [
        ["instructions", *interval_cells(costs.instructions, _count), ""],
        ["RAM, bytes", *interval_cells(costs.ram_bytes, _count), f"{board.ram_bytes:,}"],
        ["flash, bytes", *interval_cells(costs.flash_bytes, _count), f"{board.flash_bytes:,}"],
    ]
    level = f"{100 * costs.instructions.level:.0f} %"
    exact = (
        f"exact: arena {costs.arena_bytes:,} and constants {costs.weight_bytes:,} bytes; "
        f"estimated: stack {_count(float(costs.stack_bytes.value[0]))}, "
        f"code {_count(float(costs.code_bytes.value[0]))} (firmware included)"
    )
    shown = [[row.name, row.kernel, _count(row.instructions), f"{100 * row.share:.0f} %"] for row in found.layers]
    return "\n".join(
        [
            head,
            "",
            format_table([found.variant, "predicted", level, "there is"], rows),
            exact,
            "",
            format_table(["layer", "kernel", "instructions", "share"], shown[:layers]),
            *guessed_line(costs.estimate.guessed),
        ]
    )


def _count(value: float) -> str:
    return f"{round(value):,}"
