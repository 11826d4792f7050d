from __future__ import annotations

from edgert.target import get_target, list_targets
from edgert_targets.table import PAGE, render, with_table


def test_the_page_is_what_make_docs_writes() -> None:
    assert PAGE.read_text() == with_table(PAGE.read_text())


def test_boards_that_nobody_has_seen_say_so() -> None:
    rows = render().splitlines()[2:]
    real = [
        name
        for name in list_targets()
        if (board := get_target(name).microcontroller) is not None and board.flasher is not None
    ]
    for name in real:
        (row,) = [row for row in rows if row.startswith(f"| `{name}` |")]
        assert "not verified on hardware" in row
    assert sum("| emulator |" in row for row in rows) == len(rows) - len(real)
