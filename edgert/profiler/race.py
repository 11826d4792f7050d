"""The race itself: short windows in turns, slower ones leave, the time goes to the close ones. Knows nothing of models.

Source: Maron and Moore, Hoeffding Races, NIPS 1993 (leave as soon as the bounds allow); Birattari et al., A Racing
Algorithm for Configuring Metaheuristics, GECCO 2002 (compare within blocks, so that what disturbs the computer meets
everybody); Jamieson and Talwalkar, Non-stochastic Best Arm Identification, 2016, arXiv 1502.07943 (a first cut with
little time). Here a block is one round of windows, and the bound is a bootstrap of the median over the rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["HAIR_MS", "HAIR_SHARE", "P99_LIMIT", "Lap", "Lane", "choose", "is_far_behind", "race"]

Samples = NDArray[np.float64]
Window = Callable[[float], Samples]
"""Runs one candidate for about so many seconds and returns its latencies in ms: float64[runs]."""

HAIR_SHARE = 0.01
HAIR_MS = 0.003
"""Two candidates whose p50 differs by less than either are equally fast."""
P99_LIMIT = 1.5
"""Of equally fast candidates, one whose p99 is more than this times the best p99 among them does not win."""

_FAR_BEHIND = 2.0
_MIN_ROUNDS = 8
_NOBODY_LEAVES_SHARE = 0.2
_EARLY_SHARE = 0.5
_EARLY_MARGIN = 0.25
"""Other work on the computer comes in bursts of seconds, and hits those most that use several threads. So nobody
leaves in the first fifth of the time; before half of it only who is slower by a quarter, and never the second fastest;
and nobody who was not slower in each quarter of the rounds so far."""
_PARTS = 4
_RESAMPLES = 400
_ONE_SIDED_PERCENT = 1.0
_WINDOW_S = 0.025
_WINDOWS_WANTED = 40
_MAX_WINDOW_S = 0.25


@dataclass(slots=True)
class Lane:
    """One candidate during a race."""

    name: str
    window: Window
    threads: int = 1
    rounds: dict[int, Samples] = field(default_factory=dict)
    left: str | None = None
    """Why it left before the end."""

    def lap(self) -> Lap:
        """Returns what was measured of it; not defined before its first window."""
        samples = np.concatenate(list(self.rounds.values()))
        p50, p99 = (float(value) for value in np.percentile(samples, (50, 99)))
        return Lap(self.name, p50, p99, int(samples.size), len(self.rounds), self.threads)


@dataclass(frozen=True, slots=True)
class Lap:
    """Latencies of one candidate in ms, over `runs` runs in `rounds` rounds."""

    name: str
    p50_ms: float
    p99_ms: float
    runs: int
    rounds: int
    threads: int = 1


def race(
    lanes: Sequence[Lane],
    seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[float, int], None] = lambda elapsed_s, running: None,
    left: Callable[[Lane], None] = lambda lane: None,
) -> None:
    """Measures the lanes in turns until the time is over or one is left; fills `rounds` and `left` of each.

    A round is one window of every lane still in the race, in rotating order. A lane leaves when its median over the
    rounds is slower than the leader's by more than a hair (before half of the time: by more than a quarter) with 99 %
    confidence (one-sided, paired by round), or when its window sets `left`.

    Args:
        lanes: may hold earlier windows.
        seconds: for everything; at least one round is made.
        clock: seconds.
        progress: told seconds gone by and lanes running.
        left: told of each lane that leaves, so that its memory can be freed.
    """
    start = clock()
    number = 1 + max((key for lane in lanes for key in lane.rounds), default=0)
    first = number
    while running := [lane for lane in lanes if lane.left is None]:
        elapsed_s = clock() - start
        progress(elapsed_s, len(running))
        if number > first and (elapsed_s >= seconds or len(running) == 1):
            return
        share_s = (seconds - elapsed_s) / (_WINDOWS_WANTED * len(running))
        window_s = min(_MAX_WINDOW_S, max(_WINDOW_S, share_s))
        turn = number % len(running)
        for lane in [*running[turn:], *running[:turn]]:
            lane.rounds[number] = lane.window(window_s)
            if lane.left is not None:
                left(lane)
        able = [lane for lane in running if lane.left is None]
        for lane in _slower(able, first, (clock() - start) / seconds):
            left(lane)
        number += 1


def is_far_behind(samples: Samples, best_p50_ms: float) -> bool:
    """True where even the fastest run of a first look is so slow that measuring on would be a waste."""
    return bool(samples.min() > _FAR_BEHIND * best_p50_ms + HAIR_MS)


def choose(laps: Sequence[Lap]) -> Lap:
    """Returns the winner: least p50 decides; among equally fast ones p99 is held, then fewer threads win.

    Equally fast are those within a hair of the least p50 (1 % or 3 us). Of these, one whose p99 is more than 1.5 times
    the least p99 among them is out.

    Raises:
        ValueError: there are no candidates.
    """
    fastest = min(lap.p50_ms for lap in laps)
    close = [lap for lap in laps if lap.p50_ms <= max(fastest * (1 + HAIR_SHARE), fastest + HAIR_MS)]
    least_p99 = min(lap.p99_ms for lap in close)
    held = [lap for lap in close if lap.p99_ms <= P99_LIMIT * least_p99]
    return min(held, key=lambda lap: (lap.threads, lap.p50_ms))


def _slower(running: Sequence[Lane], first: int, gone_share: float) -> list[Lane]:
    """Marks the lanes that are slower than the leader beyond doubt, and returns them.

    Args:
        running: the lanes in the race.
        first: number of its first round.
        gone_share: of the time.
    """
    if len(running) < 2 or gone_share < _NOBODY_LEAVES_SHARE:
        return []
    is_early = gone_share < _EARLY_SHARE
    medians = {lane.name: _round_medians(lane, first) for lane in running}
    if min(len(values) for values in medians.values()) < _MIN_ROUNDS:
        return []
    leader, *others = sorted(running, key=lambda lane: float(np.median(list(medians[lane.name].values()))))
    gone = []
    for lane in others[1:] if is_early else others:
        margin = _EARLY_MARGIN if is_early else HAIR_SHARE
        if _least_gap(medians[leader.name], medians[lane.name], margin) > 0:
            lane.left = f"slower than {leader.name}"
            gone.append(lane)
    return gone


def _round_medians(lane: Lane, first: int) -> Mapping[int, float]:
    return {number: float(np.median(window)) for number, window in lane.rounds.items() if number >= first}


def _least_gap(leader: Mapping[int, float], other: Mapping[int, float], margin: float) -> float:
    """The 1 % percentile of the median over rounds of (other - leader), less the margin; seeded, so repeatable.

    Where a part of the rounds says otherwise, its own median is returned if that is less.
    """
    pairs = np.array([(leader[number], other[number]) for number in sorted(leader.keys() & other.keys())])
    allowed = max(HAIR_MS, margin * float(np.median(pairs[:, 0])))
    gaps = pairs[:, 1] - pairs[:, 0] - allowed
    drawn = np.random.default_rng(0).integers(0, gaps.size, (_RESAMPLES, gaps.size))
    bound = float(np.percentile(np.median(gaps[drawn], axis=1), _ONE_SIDED_PERCENT))
    return min(bound, *(float(np.median(part)) for part in np.array_split(gaps, _PARTS)))
