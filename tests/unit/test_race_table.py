"""Rows and notes of a race's table, from made-up latencies."""

from __future__ import annotations

import numpy as np
import pytest

from edgert.bundle import Gate
from edgert.plugins import Judgement
from edgert.profiler.candidates import Entry
from edgert.profiler.crew import Member
from edgert.profiler.race import Lane
from edgert.profiler.race_table import RaceRow, build_notes, build_rows, lap_of
from edgert.runtime.settings import Choice


def member(
    name: str, *medians_ms: float, gate: Gate = Gate.PASSED, left: str | None = None, tail: float = 1.0
) -> Member:
    """A candidate with a round of 100 equal runs for each median, the slowest 5 % of them `tail` times as slow."""
    entry = Entry(Choice(name, "onnxruntime", 1), "int8", gate, False, False)
    spread = np.where(np.arange(100) < 95, 1.0, tail)
    made = Member(entry, outputs={"y": np.zeros(1)})
    if medians_ms:
        made.lane = Lane(made.name, lambda duration_s: spread, left=left)
        made.lane.rounds.update({number: median * spread for number, median in enumerate(medians_ms)})
    return made


def table(winner: Member, *others: Member, judged: dict[str, Judgement] | None = None) -> tuple[RaceRow, ...]:
    members = [*others, winner]
    return build_rows([one.entry for one in members], members, winner, judged or {}, False)


TEN = (1.0,) * 10


def test_the_winner_stands_first_and_the_rest_by_p50() -> None:
    wrong = member("wrong")
    wrong.refusal = "wrong outputs: output 'y' differs"
    failed = member("failed", gate=Gate.FAILED)
    slow, fast, best = member("slow", 3.0, left="slower than best"), member("fast", 0.9), member("best", *TEN)
    entries = [one.entry for one in (failed, wrong, slow, fast, best)]
    rows = build_rows(entries, [wrong, slow, fast, best], best, {}, False)
    assert [row.choice.variant for row in rows] == ["best", "fast", "slow", "failed", "wrong"]
    assert [row.left_out for row in rows] == [
        None,
        "slower",
        "slower than best",
        "the accuracy gate failed when the model was converted",
        "wrong outputs: output 'y' differs",
    ]
    assert [row.accuracy for row in rows] == ["passed at conversion, outputs agree"] * 3 + [
        "failed at conversion",
        "failed",
    ]


def test_ratios_are_of_rounds_that_both_ran_in() -> None:
    """The computer was three times as slow in the first two rounds, and only these has the other one."""
    winner, other = member("w", 3.0, 3.0, *TEN), member("o", 3.3, 3.3, left="slower than w")
    row = table(winner, other)[1]
    assert row.ratio == pytest.approx(1.1)
    assert row.p50_ms == pytest.approx(3.3)


def test_as_fast_within_a_hair() -> None:
    rows = table(member("w", *TEN), member("o", *(1.009 for _ in TEN)), member("p", *(1.02 for _ in TEN)))
    assert [row.left_out for row in rows] == [None, "as fast, within a hair", "slower"]


def test_a_candidate_that_crashed_while_it_was_measured_has_no_figures() -> None:
    crashed = member("c", 1.0)
    assert crashed.lane is not None
    crashed.lane.rounds[1] = np.full(1, np.inf)
    crashed.refusal = crashed.lane.left = "failed: the worker crashed"
    row = table(member("w", *TEN), crashed)[1]
    assert (row.p50_ms, row.left_out) == (None, "failed: the worker crashed")


def test_a_steadier_p99_is_named() -> None:
    winner = member("w", *TEN, tail=4.0)
    rows = table(winner, member("o", *(1.05 for _ in TEN), left="slower than w"), member("p", *(1.2 for _ in TEN)))
    (note,) = build_notes(winner, rows, {})
    assert note == "o on onnxruntime, 1 thread has a steadier p99: 1.05 ms against 4 ms"


def test_too_few_rounds_are_said_where_others_were_left() -> None:
    winner, other = member("w", 1.0, 1.0), member("o", 1.1, 1.1)
    (note,) = build_notes(winner, table(winner, other), {})
    assert note == "only 2 rounds were made; for a sound choice give more --seconds"
    assert build_notes(winner, table(winner), {}) == []


@pytest.mark.parametrize("by_data", [False, True])
def test_an_undecided_gate_is_said(by_data: bool) -> None:
    winner = member("w", *TEN, gate=Gate.PASSED if by_data else Gate.UNDECIDED)
    judged = {winner.name: Judgement(Gate.UNDECIDED, 0.25, 40, "n=40: more samples")} if by_data else {}
    rows = table(winner, judged=judged)
    (note,) = build_notes(winner, rows, judged)
    assert ("n=40: more samples" if by_data else "undecided at conversion") in note
    assert rows[0].accuracy == (
        "undecided, -0.25 points (n=40)" if by_data else "undecided at conversion, outputs agree"
    )


def test_what_was_not_measured_has_no_lap() -> None:
    with pytest.raises(ValueError, match="w on onnxruntime, 1 thread was not measured"):
        lap_of(member("w"))
