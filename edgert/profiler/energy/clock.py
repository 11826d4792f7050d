"""Sets the clock of a board against this computer's, by asking it for its time over and over.

The answer of the shortest round trip is off by half of that trip at most, however unequal its two ways are.
Source: Cristian, Probabilistic clock synchronization, Distributed Computing 3, 1989.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edgert.profiler.record import ClockAlignment

__all__ = ["align_clock", "join_alignments"]

_ROUNDS = 24


def align_clock(
    ask: Callable[[], float], clock: Callable[[], float] = time.monotonic, rounds: int = _ROUNDS
) -> ClockAlignment:
    """Returns the offset of the other clock (its time less ours) from the shortest of the round trips.

    Args:
        ask: returns the other clock's time in seconds.
        clock: ours.
        rounds: how often it is asked.
    """
    best = ClockAlignment(0.0, float("inf"))
    for _ in range(rounds):
        start_s = clock()
        there_s = ask()
        stop_s = clock()
        if (stop_s - start_s) / 2 < best.error_s:
            best = ClockAlignment(there_s - (start_s + stop_s) / 2, (stop_s - start_s) / 2)
    return best


def join_alignments(before: ClockAlignment, after: ClockAlignment) -> ClockAlignment:
    """Returns one alignment for the time between two: the middle, with the drift in its error."""
    drift_s = abs(after.offset_s - before.offset_s) / 2
    return ClockAlignment((before.offset_s + after.offset_s) / 2, max(before.error_s, after.error_s) + drift_s)
