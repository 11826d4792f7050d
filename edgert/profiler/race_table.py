"""The table of a race: one row per candidate, why one cannot win, and what the user must know of the winner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgert.bundle import Gate
from edgert.plugins import Judgement
from edgert.profiler.candidates import FLOAT_PRECISIONS, Entry
from edgert.profiler.crew import Member
from edgert.profiler.race import HAIR_MS, HAIR_SHARE, P99_LIMIT, Lane, Lap
from edgert.runtime.settings import Choice

__all__ = ["RaceResult", "RaceRow", "build_notes", "build_rows", "lap_of", "why_not_raced"]

_NEAR = 1.1
FEW_ROUNDS = 9
"""With fewer rounds (the first look is one of them) no candidate could leave; see edgert.profiler.race."""


@dataclass(frozen=True, slots=True)
class RaceRow:
    """One line of the table. Latencies are None where it was not measured; `left_out` says why it cannot win.

    `ratio` is its p50 over the winner's, as the median over the rounds that both ran in where there are any.
    """

    name: str
    choice: Choice
    accuracy: str
    p50_ms: float | None = None
    p99_ms: float | None = None
    ratio: float | None = None
    runs: int = 0
    left_out: str | None = None


@dataclass(frozen=True, slots=True)
class RaceResult:
    """Rows with the winner first, then by p50; `stored` is the file in the device's settings, None: not stored."""

    rows: tuple[RaceRow, ...]
    winner: RaceRow
    stored: str | None
    notes: tuple[str, ...]
    measured_s: float
    total_s: float


def why_not_raced(entry: Entry, has_data: bool) -> str | None:
    """Returns why a candidate does not even start, or None.

    Args:
        entry: the candidate.
        has_data: whether there is data to judge the winner by.
    """
    if entry.refusal is not None:
        return entry.refusal
    if entry.gate is Gate.FAILED:
        return "the accuracy gate failed when the model was converted"
    if entry.is_unverified and entry.precision not in FLOAT_PRECISIONS and not has_data:
        return "unverified: its accuracy was never measured; give --eval DATA"
    return None


def build_rows(
    entries: Sequence[Entry],
    members: Sequence[Member],
    winner: Member,
    judged: Mapping[str, Judgement],
    has_data: bool,
) -> tuple[RaceRow, ...]:
    """Returns the table, the winner first, then what was measured by p50, then the rest."""
    raced = {member.name: member for member in members}
    rows = []
    for entry in entries:
        member = raced.get(entry.name)
        reason = why_not_raced(entry, has_data)
        if member is None:
            rows.append(RaceRow(entry.name, entry.choice, _accuracy(entry, None, None), left_out=reason))
        else:
            rows.append(_measured_row(member, winner, judged.get(entry.name)))
    return tuple(sorted(rows, key=lambda row: (row.name != winner.name, row.p50_ms is None, row.p50_ms or 0.0)))


def build_notes(winner: Member, rows: Sequence[RaceRow], judged: Mapping[str, Judgement]) -> list[str]:
    """Returns what is to be said about the winner: an open gate, a p99 that others do better."""
    judgement, entry, lap = judged.get(winner.name), winner.entry, lap_of(winner)
    notes = []
    if judgement is not None and judgement.gate is Gate.UNDECIDED:
        notes.append(f"the accuracy of the winner is undecided: {judgement.sentence}")
    elif judgement is None and entry.gate is Gate.UNDECIDED:
        notes.append("the accuracy of the winner was undecided at conversion; --eval with more data decides")
    if len(rows) > 1 and lap.rounds < FEW_ROUNDS and any(row.left_out == "slower" for row in rows):
        notes.append(f"only {lap.rounds} rounds were made; for a sound choice give more --seconds")
    for row in rows:
        if row.left_out is None or row.p99_ms is None or row.p50_ms is None or "slower" not in row.left_out:
            continue
        if row.p50_ms <= _NEAR * lap.p50_ms and lap.p99_ms > P99_LIMIT * row.p99_ms:
            notes.append(f"{row.name} has a steadier p99: {row.p99_ms:.3g} ms against {lap.p99_ms:.3g} ms")
    return notes


def lap_of(member: Member) -> Lap:
    """Returns what was measured of a member that has a lane."""
    if member.lane is None:
        raise ValueError(f"{member.name} was not measured")
    return member.lane.lap()


def _measured_row(member: Member, winner: Member, judgement: Judgement | None) -> RaceRow:
    accuracy = _accuracy(member.entry, member, judgement)
    base = RaceRow(member.name, member.entry.choice, accuracy, left_out=member.refusal)
    if member.lane is None or winner.lane is None or not _is_finite(member.lane):
        return base
    lap = member.lane.lap()
    left_out = member.refusal or member.lane.left
    if left_out is None and member is not winner:
        left_out = "as fast, within a hair" if _is_close(lap, lap_of(winner)) else "slower"
    ratio = _ratio(member.lane, winner.lane)
    return RaceRow(member.name, member.entry.choice, accuracy, lap.p50_ms, lap.p99_ms, ratio, lap.runs, left_out)


def _is_close(lap: Lap, winner: Lap) -> bool:
    return abs(lap.p50_ms - winner.p50_ms) <= max(HAIR_MS, HAIR_SHARE * winner.p50_ms)


def _is_finite(lane: Lane) -> bool:
    return all(np.isfinite(window).all() for window in lane.rounds.values())


def _ratio(lane: Lane, winner: Lane) -> float:
    common = lane.rounds.keys() & winner.rounds.keys()
    ratios = [np.median(lane.rounds[number]) / np.median(winner.rounds[number]) for number in common]
    return float(np.median(ratios)) if ratios else lane.lap().p50_ms / winner.lap().p50_ms


def _accuracy(entry: Entry, member: Member | None, judgement: Judgement | None) -> str:
    if judgement is not None:
        return f"{judgement.gate.value}, {-judgement.drop_points:+.2f} points (n={judgement.n})"
    if member is not None and (member.refusal or "").startswith("wrong outputs"):
        return "failed"
    checked = "" if member is None or not member.outputs else ", outputs agree"
    if entry.refusal is not None:
        return "-"
    if entry.is_reference:
        return f"reference{checked}"
    return f"{'unverified' if entry.is_unverified else f'{entry.gate.value} at conversion'}{checked}"
