"""What a verb says and where: results to stdout, messages and progress to stderr."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from typing import TextIO

from edgert.codec import JsonValue
from edgert.commands.progress import ProgressText

__all__ = ["Console", "format_table"]


class Console:
    """The two streams of one call, and the common flags that govern them."""

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        as_json: bool = False,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.as_json = as_json
        self._out, self._err, self._quiet = out, err, quiet
        self._bar_lines = 0
        self._progress = ProgressText(clock)
        self.shows_progress = not quiet and err.isatty()
        self.shows_color = out.isatty() and not os.environ.get("NO_COLOR") and not as_json

    def result(self, plain: JsonValue, text: str) -> None:
        """Writes the result once: `plain` under --json, else `text`."""
        self._clear_bar()
        self._out.write(json.dumps(plain, indent=2, allow_nan=False) if self.as_json else text)
        self._out.write("\n")
        self._out.flush()

    def note(self, text: str) -> None:
        """Writes one message to stderr, unless --quiet."""
        if not self._quiet:
            self.error(text)

    def error(self, text: str) -> None:
        """Writes one line to stderr, always."""
        self._clear_bar()
        self._err.write(f"{text}\n")
        self._err.flush()

    def progress(self, stage: str, done: int, total: int, below: Sequence[str] = ()) -> None:
        """Draws a progress bar with the time left, and lines below it, on a terminal only (a ProgressReporter)."""
        if not self.shows_progress:
            return
        width = shutil.get_terminal_size().columns - 1  # a line that wraps could not be cleared
        lines = [self._progress.line(stage, done, total), *(line[:width] for line in below)]
        self._err.write(self._cleared() + "\n".join(lines))
        self._err.flush()
        self._bar_lines = len(lines)

    def emphasize(self, text: str) -> str:
        """Returns the text in bold where the terminal shows colour."""
        return f"\x1b[1m{text}\x1b[0m" if self.shows_color else text

    def _clear_bar(self) -> None:
        if self._bar_lines:
            self._err.write(self._cleared())
            self._bar_lines = 0

    def _cleared(self) -> str:
        """What removes the bar and the lines below it."""
        return "\r\x1b[2K" + "\x1b[1A\x1b[2K" * (self._bar_lines - 1)


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, words: Collection[str] = ()) -> str:
    """Returns a plain text table; columns whose cells all start with a digit or sign are aligned to the right.

    Those that `words` names by their heads hold words, whatever they start with.
    """
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    right = [
        bool(rows) and name not in words and all(_is_numeric(row[column]) for row in rows)
        for column, name in enumerate(header)
    ]
    lines = [_join(row, widths, right) for row in cells]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _join(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(row, widths, right, strict=True)
    ]
    return "  ".join(parts).rstrip()


def _is_numeric(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] in {"-", "+", "."}
