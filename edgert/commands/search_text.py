"""What `edgert search` prints: the best so far while it runs, and the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edgert.commands.console import format_table
from edgert.search.goals import Goals
from edgert.search.result import SearchResult
from edgert.search.standing import Point, Standing
from edgert.search.words import format_choice, format_quantity

__all__ = ["live_lines", "result_text"]

_LIVE_ROWS = 8
_CHOICE = "choice"


def live_lines(standing: Standing) -> list[str]:
    """Returns the table of the best points so far, at most eight of them."""
    counts = f"{len(standing.failed)} failed, {len(standing.beyond_limits)} beyond a limit"
    if not standing.front:
        return [f"no point keeps the limits yet ({counts})"]
    rows = [_row(standing.goals, point) for point in standing.front[:_LIVE_ROWS]]
    table = format_table(_header(standing.goals), rows, words=(_CHOICE,))
    more = len(standing.front) - _LIVE_ROWS
    return ["", *table.splitlines(), f"{f'{more} more on the front; ' if more > 0 else ''}{counts}"]


def result_text(result: SearchResult, files: Mapping[str, Path]) -> str:
    """Returns the front, what fell out of it, what was chosen and where the files are."""
    standing, goals = result.standing, result.settings.goals
    lines = [_summary(result), ""]
    if standing.front:
        rows = [[*_row(goals, point), *_again(goals, point)] for point in standing.front]
        header = [*_header(goals), *(f"{item.value} at first" for item in goals.quantities)]
        lines += [format_table(header, rows, words=(_CHOICE,)), ""]
    else:
        lines += _nothing(result)
    lines += [f"trial {point.number} left the front: {point.reason}" for point in standing.dropped]
    chosen = result.chosen
    if chosen is not None:
        rule = "the best" if len(goals.objectives) == 1 else result.settings.choose
        lines.append(f"chosen ({rule}): trial {chosen.number}, {format_choice(chosen.choice)}")
    return "\n".join([*lines, *(f"wrote {path}" for path in files.values())])


def _header(goals: Goals) -> list[str]:
    return ["trial", *(item.value for item in goals.quantities), _CHOICE]


def _row(goals: Goals, point: Point) -> list[str]:
    values = [format_quantity(item, point.measured) for item in goals.quantities]
    return [str(point.number), *values, format_choice(point.choice)]


def _again(goals: Goals, point: Point) -> list[str]:
    return [format_quantity(item, point.first) for item in goals.quantities]


def _summary(result: SearchResult) -> str:
    standing = result.standing
    known = sum(bool(entry.source) for entry in standing.finished)
    parts = [f"{len(standing.finished)} trials", f"{len(standing.failed)} failed"]
    parts += [f"{len(standing.beyond_limits)} beyond a limit", f"{len(standing.front)} on the front"]
    parts += [f"{known} known before"] if known else []
    return f"{result.settings.study} in {result.storage}: {', '.join(parts)}"


def _nothing(result: SearchResult) -> Sequence[str]:
    """Says why there is no front: what the best points lack, or why candidates failed."""
    standing, goals = result.standing, result.settings.goals
    lines = ["no candidate keeps every limit"]
    for limit in goals.limits:
        nearest = min((point.measured for point in standing.points), key=limit.excess, default=None)
        if nearest is not None:
            lines.append(f"{limit}: the nearest has {format_quantity(limit.quantity, nearest)}")
    reasons = dict.fromkeys(entry.evaluation.failure for entry in standing.failed if entry.evaluation is not None)
    return [*lines, *(f"failed: {reason}" for reason in list(reasons)[:3])]
