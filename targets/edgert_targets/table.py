"""Writes the tables in docs/targets.md from the facts, and which targets were verified from the cards in profiles/.

`python -m edgert_targets.table`. A card of `edgert selftest` that passed on hardware and stands in `profiles/<target>/`
sets `hardware_verified` in that target's target.toml; without such a card the line goes. Nothing else sets it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from edgert.profiler.card import verified_targets
from edgert.runtime.engines import ENGINES
from edgert.target import Microcontroller, Target, get_target, list_targets

__all__ = [
    "BEGIN",
    "BOARDS_BEGIN",
    "BOARDS_END",
    "END",
    "PAGE",
    "main",
    "render",
    "render_boards",
    "with_card",
    "with_tables",
    "write_verified",
]

_ROOT = Path(__file__).parents[2]
PAGE = _ROOT / "docs" / "targets.md"
PROFILES = _ROOT / "profiles"
FOLDERS = Path(__file__).parent
BEGIN, END = "<!-- microcontrollers: begin -->\n", "<!-- microcontrollers: end -->"
BOARDS_BEGIN, BOARDS_END = "<!-- boards: begin -->\n", "<!-- boards: end -->"
NOT_VERIFIED = "not verified on hardware"
_VERIFIED = re.compile(r'^hardware_verified = ".*"\n', re.MULTILINE)
_TITLE = re.compile(r"^title = .*\n", re.MULTILINE)


def render(verified: Mapping[str, str] | None = None) -> str:
    """Returns the table of microcontrollers in Markdown, real boards first; `verified` is target -> card."""
    cards = verified_targets(PROFILES) if verified is None else verified
    rows = sorted(
        (target.microcontroller.flasher is None, target.name)
        for target in map(get_target, list_targets())
        if target.microcontroller is not None
    )
    lines = [
        "| target | core | kernels | flash, KiB | RAM, KiB | clock, MHz | reached by | checked |",
        "|---" * 8 + "|",
    ]
    return "\n".join([*lines, *(_row(get_target(name), cards) for _, name in rows)]) + "\n"


def render_boards(verified: Mapping[str, str] | None = None) -> str:
    """Returns the table of devices that run Python, in the same way."""
    cards = verified_targets(PROFILES) if verified is None else verified
    found = [target for target in map(get_target, list_targets()) if any(e.name in ENGINES for e in target.engines)]
    lines = ["| target | device | 8-bit dot product | engines | checked |", "|---" * 5 + "|"]
    return "\n".join([*lines, *(_board_row(target, cards) for target in found)]) + "\n"


def with_tables(page: str, verified: Mapping[str, str] | None = None) -> str:
    """Returns a page with both tables between their marks."""
    page = _between(page, BEGIN, END, lambda: render(verified))
    return _between(page, BOARDS_BEGIN, BOARDS_END, lambda: render_boards(verified))


def with_card(facts: str, card: str | None) -> str:
    """Returns the text of a target.toml whose `hardware_verified` names a card in profiles/, or is not there."""
    plain = _VERIFIED.sub("", facts)
    if card is None:
        return plain
    return _TITLE.sub(lambda found: f'{found[0]}hardware_verified = "profiles/{card}"\n', plain, count=1)


def write_verified(verified: Mapping[str, str], folders: Path = FOLDERS) -> None:
    """Writes which targets were verified into their target.toml."""
    for path in sorted(folders.glob("*/target.toml")):
        facts = path.read_text()
        written = with_card(facts, verified.get(path.parent.name.replace("_", "-")))
        if written != facts:
            path.write_text(written)


def main() -> None:
    """Rewrites the facts and the page."""
    verified = verified_targets(PROFILES)
    write_verified(verified)
    PAGE.write_text(with_tables(PAGE.read_text(), verified))


def _between(page: str, begin: str, end: str, table: Callable[[], str]) -> str:
    before, _, rest = page.partition(begin)
    return before + begin + table() + end + rest.partition(end)[2]


def _row(target: Target, cards: Mapping[str, str]) -> str:
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
        _checked(target, cards) if board.flasher is not None else "emulator",
    )
    return f"| {' | '.join(cells)} |"


def _board_row(target: Target, cards: Mapping[str, str]) -> str:
    engines = ", ".join(engine.name for engine in target.engines if not engine.optional)
    cells = (f"`{target.name}`", target.title, target.dot_product or "boards differ", engines, _checked(target, cards))
    return f"| {' | '.join(cells)} |"


def _reached(board: Microcontroller) -> str:
    if board.flasher is None:
        return f"`qemu:{board.qemu_machine}`"
    return f"serial port, flashed by {board.flasher.tool}"


def _checked(target: Target, cards: Mapping[str, str]) -> str:
    card = cards.get(target.name)
    return NOT_VERIFIED if card is None else f"[verified](../profiles/{card})"


if __name__ == "__main__":
    main()
