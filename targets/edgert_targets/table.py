"""Writes the table of microcontrollers in docs/targets.md from the facts: `python -m edgert_targets.table`."""

from __future__ import annotations

from pathlib import Path

from edgert.target import Microcontroller, Target, get_target, list_targets

__all__ = ["BEGIN", "END", "PAGE", "main", "render", "with_table"]

PAGE = Path(__file__).parents[2] / "docs" / "targets.md"
BEGIN, END = "<!-- microcontrollers: begin -->\n", "<!-- microcontrollers: end -->"


def render() -> str:
    """Returns the table in Markdown, real boards first."""
    rows = sorted(
        (target.microcontroller.flasher is None, target.name)
        for target in map(get_target, list_targets())
        if target.microcontroller is not None
    )
    lines = [
        "| target | core | kernels | flash, KiB | RAM, KiB | clock, MHz | reached by | checked |",
        "|---" * 8 + "|",
    ]
    return "\n".join([*lines, *(_row(get_target(name)) for _, name in rows)]) + "\n"


def with_table(page: str) -> str:
    """Returns a page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + render() + END + rest.partition(END)[2]


def main() -> None:
    """Rewrites the page."""
    PAGE.write_text(with_table(PAGE.read_text()))


def _row(target: Target) -> str:
    board = target.microcontroller
    assert board is not None
    cells = (
        f"`{target.name}`",
        board.core.replace("cortex-m", "M").replace("plus", "+"),
        board.instructions,
        f"{board.flash_bytes >> 10:,}",
        f"{board.ram_bytes >> 10:,}",
        f"{board.clock_hz / 1e6:g}",
        _reached(board),
        _checked(target, board),
    )
    return f"| {' | '.join(cells)} |"


def _reached(board: Microcontroller) -> str:
    if board.flasher is None:
        return f"`qemu:{board.qemu_machine}`"
    return f"serial port, flashed by {board.flasher.tool}"


def _checked(target: Target, board: Microcontroller) -> str:
    if target.hardware_verified is not None:
        return target.hardware_verified
    return "not verified on hardware" if board.flasher is not None else "emulator"


if __name__ == "__main__":
    main()
