"""The race and its rules on made-up latencies; tests/engines/test_tune.py races for real."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgert.profiler.race import HAIR_MS, HAIR_SHARE, P99_LIMIT, Lane, Lap, choose, is_far_behind, race


class Computer:
    """A clock that only moves while something runs, and lanes that run on it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []
        self.slowdown: Callable[[float], float] = lambda now: 1.0
        self._rng = np.random.default_rng(0)

    def lane(self, name: str, p50_ms: float, *, jitter: float = 0.02, threads: int = 1) -> Lane:
        def window(duration_s: float) -> np.ndarray:
            self.order.append(name)
            times = []
            end = self.now + duration_s
            while self.now < end or len(times) < 3:
                factor = self.slowdown(self.now) * (1 + jitter * abs(self._rng.standard_normal()))
                times.append(p50_ms * factor)
                self.now += times[-1] / 1000
            return np.array(times)

        return Lane(name, window, threads)

    def race(self, lanes: list[Lane], seconds: float) -> list[str]:
        left: list[str] = []
        race(lanes, seconds, clock=lambda: self.now, left=lambda lane: left.append(lane.name))
        return left


def lap(name: str, p50_ms: float, p99_ms: float = 2.0, threads: int = 1) -> Lap:
    return Lap(name, p50_ms, p99_ms, 100, 10, threads)


def test_slower_ones_leave_and_the_rest_of_the_time_goes_to_the_close_ones() -> None:
    computer = Computer()
    lanes = [computer.lane(name, p50) for name, p50 in [("slow", 3.0), ("a", 1.0), ("b", 1.002), ("slower", 9.0)]]
    assert set(computer.race(lanes, 10.0)) == {"slow", "slower"}
    rounds = {lane.name: len(lane.rounds) for lane in lanes}
    assert rounds["slow"] == rounds["slower"] < rounds["a"] / 3
    assert rounds["a"] == rounds["b"]
    assert [lane.left for lane in lanes] == ["slower than a", None, None, "slower than a"]
    assert 10.0 <= computer.now < 11.0


def test_a_race_that_is_decided_ends_early() -> None:
    computer = Computer()
    assert computer.race([computer.lane("a", 1.0), computer.lane("b", 2.0)], 60.0) == ["b"]
    assert 30.0 <= computer.now < 32.0


def test_a_burst_of_other_work_at_the_start_decides_nothing() -> None:
    """For the first 40 % of the time whoever uses two threads is twice as slow."""
    computer = Computer()
    two = computer.lane("two", 0.6, threads=2)
    undisturbed = two.window

    def window(duration_s: float) -> np.ndarray:
        return undisturbed(duration_s) * (2.0 if computer.now < 4.0 else 1.0)

    two.window = window
    one, slow = computer.lane("one", 1.0), computer.lane("slow", 5.0)
    computer.race([one, two, slow], 10.0)
    assert choose([one.lap(), two.lap()]).name == "two"
    assert two.left is None


def test_a_difference_within_a_hair_is_none() -> None:
    computer = Computer()
    assert computer.race([computer.lane("a", 1.0, jitter=0), computer.lane("b", 1.009, jitter=0)], 5.0) == []


def test_what_disturbs_the_computer_meets_everybody() -> None:
    """Twice as slow for a second out of every two: paired by round, 5 % are seen all the same."""
    computer = Computer()
    computer.slowdown = lambda now: 1.0 + int(now) % 2
    assert computer.race([computer.lane("b", 1.05), computer.lane("a", 1.0)], 20.0) == ["b"]


def test_nobody_is_always_first() -> None:
    computer = Computer()
    computer.race([computer.lane(name, 1.0) for name in "abc"], 2.0)
    firsts = {computer.order[start] for start in range(0, len(computer.order) - 2, 3)}
    assert firsts == {"a", "b", "c"}


def test_at_least_one_round_is_made_however_little_time_there_is() -> None:
    computer = Computer()
    lanes = [computer.lane("a", 5000.0), computer.lane("b", 6000.0)]
    computer.race(lanes, 0.5)
    assert [len(lane.rounds) for lane in lanes] == [1, 1]


def test_one_that_fails_is_out_and_the_others_go_on() -> None:
    computer = Computer()
    lanes = [computer.lane("a", 1.0), computer.lane("b", 1.0)]
    failing = Lane("c", lambda duration_s: np.zeros(0))

    def fail(duration_s: float) -> np.ndarray:
        failing.left = "failed: crashed"
        return np.full(1, np.inf)

    failing.window = fail
    assert computer.race([failing, *lanes], 2.0) == ["c"]
    assert len(failing.rounds) == 1
    assert len(lanes[0].rounds) > 5


@pytest.mark.parametrize(
    ("laps", "winner"),
    [
        ([lap("a", 1.0), lap("b", 0.9)], "b"),
        ([lap("a", 1.0, 2.0), lap("b", 1.005, 1.0)], "b"),
        ([lap("a", 1.0, 2.0), lap("b", 1.005, 1.4)], "a"),
        ([lap("a", 1.0, 9.0), lap("b", 1.2, 1.4)], "a"),
        ([lap("a", 1.0, threads=2), lap("b", 1.009, threads=1)], "b"),
        ([lap("a", 1.0, threads=2), lap("b", 1.02, threads=1)], "a"),
        ([lap("a", 1.0, 1.0, threads=2), lap("b", 1.005, 1.6, threads=1)], "a"),
        ([lap("a", 0.010, threads=2), lap("b", 0.0125, threads=1)], "b"),
        ([lap("a", 0.010, threads=2), lap("b", 0.0135, threads=1)], "a"),
    ],
    ids=[
        "p50 decides",
        "a hair and a much worse p99",
        "a hair and p99 alike",
        "more than a hair",
        "fewer threads",
        "threads are worth less than a hair",
        "p99 before threads",
        "a hair in microseconds",
        "more than microseconds",
    ],
)
def test_who_wins(laps: list[Lap], winner: str) -> None:
    assert choose(laps).name == winner
    assert choose(laps[::-1]).name == winner


def test_the_constants_that_the_documentation_names() -> None:
    assert (HAIR_SHARE, HAIR_MS, P99_LIMIT) == (0.01, 0.003, 1.5)


@pytest.mark.parametrize(("fastest", "far"), [(1.9, False), (2.1, True)])
def test_only_the_fastest_run_of_a_first_look_tells_who_is_far_behind(fastest: float, far: bool) -> None:
    assert is_far_behind(np.array([50.0, fastest, 60.0]), 1.0) is far
