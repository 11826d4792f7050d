"""The progress bar against a clock that the test turns."""

from __future__ import annotations

import io

import pytest

from edgert.commands.console import Console
from edgert.commands.progress import ProgressText, format_left


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_time_left_follows_the_pace_since_the_first_report() -> None:
    clock = Clock()
    text = ProgressText(clock)
    assert text.line("calibrate", 1, 100) == f"calibrate [{'.' * 24}] 1/100"
    clock.now_s += 0.5
    assert text.line("calibrate", 2, 100).endswith("] 2/100")  # too early to tell
    clock.now_s += 11.5
    assert text.line("calibrate", 25, 100) == f"calibrate [{'#' * 6}{'.' * 18}] 25/100, about 38 s left"
    clock.now_s += 100.0
    assert text.line("calibrate", 50, 100).endswith("50/100, about 1 min 54 s left")
    assert text.line("calibrate", 100, 100) == f"calibrate [{'#' * 24}] 100/100"


def test_each_stage_has_its_own_pace() -> None:
    clock = Clock()
    text = ProgressText(clock)
    text.line("calibrate", 1, 3)
    clock.now_s += 1000.0
    assert "left" in text.line("calibrate", 2, 3)
    assert text.line("verify", 1, 10).endswith("] 1/10")
    clock.now_s += 4.0
    assert text.line("verify", 3, 10).endswith("3/10, about 14 s left")
    assert text.line("verify", 1, 10).endswith("] 1/10")  # the same stage once more, for the next variant
    clock.now_s += 2.0
    assert text.line("verify", 2, 10).endswith("2/10, about 16 s left")


def test_an_unknown_total_shows_the_stage_alone() -> None:
    assert ProgressText(Clock()).line("load", 3, 0) == "load"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.2, "1 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7530, "2 h 5 min")],
)
def test_durations_have_two_units_at_most(seconds: float, expected: str) -> None:
    assert format_left(seconds) == expected


def test_a_terminal_shows_the_time_left_and_a_file_nothing() -> None:
    clock, screen, file = Clock(), Terminal(), io.StringIO()
    consoles = [Console(io.StringIO(), err, clock=clock) for err in (screen, file)]
    for done in (1, 2):
        for console in consoles:
            console.progress("verify", done, 10)
        clock.now_s += 5.0
    for console in consoles:
        console.progress("verify", 3, 10)
        console.note("done")
    assert "3/10, about 35 s left" in screen.getvalue()
    assert file.getvalue() == "done\n"
