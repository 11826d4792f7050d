"""Offsets for bodies that must not overlap, with as small an arena as a bounded search finds.

Bodies are placed one by one, each at the lowest place that what is placed already leaves: what differs is the order.
First orders by size, lifetime and the like are tried, from the bottom and from the top (an output that grows into its
input from below asks for the second); then branch and bound over all orders where the bodies are few; then orders in
which what stands at the top moves to the front. Each stops as soon as the lower bound is reached. Effort is counted in
placements, never in seconds, so that the same network always gets the same plan.

Source: Pisarchyk and Lee, Efficient memory management for deep neural net inference, 2020, arXiv:2001.03288, section
5.2 (greedy by size, the first order). An order with every body at its lowest place reaches the optimum where bodies
are plain stretches; computing in place and interlocking strips are used where they are found.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edgert_converters.exporters.c.planner.displacements import Displacements

__all__ = ["ALIGNMENT_BYTES", "Placement", "Problem", "first_orders", "place"]

ALIGNMENT_BYTES = 8
_FEW = 24
"""Bodies up to which all orders may be searched."""
_SEED = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """`sizes` in bytes, whole alignments; `apart[i][j]` is what body i above body j may not be; `orders` to begin with.

    `apart` holds every pair twice.
    """

    sizes: tuple[int, ...]
    apart: tuple[dict[int, Displacements], ...]
    orders: tuple[tuple[int, ...], ...]

    def mirrored(self) -> Problem:
        """The same with offsets counted from the end of the arena down to the end of each body."""
        apart = tuple(
            {j: _reflected(kept, self.sizes[j] - self.sizes[i]) for j, kept in others.items()}
            for i, others in enumerate(self.apart)
        )
        return Problem(self.sizes, apart, self.orders)


@dataclass(frozen=True, slots=True)
class Placement:
    """Offsets in bytes and the end of the last body; `is_optimal` where it is proven."""

    offsets: tuple[int, ...]
    arena_bytes: int
    is_optimal: bool = False


@dataclass(slots=True)
class _Search:
    """The best so far and the placements that are left."""

    problem: Problem
    bound: int
    steps: int
    order: tuple[int, ...] = ()
    offsets: dict[int, int] = field(default_factory=dict)
    arena_bytes: int = 1 << 62

    @property
    def is_over(self) -> bool:
        """Nothing better exists, or no step is left."""
        return self.steps <= 0 or self.arena_bytes <= self.bound

    def take(self, order: tuple[int, ...], offsets: dict[int, int], arena_bytes: int) -> None:
        """Keeps a better plan."""
        if arena_bytes < self.arena_bytes:
            self.order, self.offsets, self.arena_bytes = order, dict(offsets), arena_bytes

    def run(self, order: Sequence[int]) -> None:
        """Places every body of an order."""
        offsets: dict[int, int] = {}
        top = 0
        for index in order:
            offsets[index] = lowest(self.problem.apart[index], offsets)
            top = max(top, offsets[index] + self.problem.sizes[index])
        self.steps -= len(order)
        self.take(tuple(order), offsets, top)


def place(problem: Problem, bound: int, steps: int) -> Placement:
    """Returns the best placement found.

    Args:
        problem: bodies and what keeps them apart.
        bound: a size that no arena can be below, in whole alignments.
        steps: placements of one body to try, about 20 microseconds each; the first orders are always tried.
    """
    mirror = problem.mirrored()
    upward, downward = _Search(problem, bound, steps), _Search(mirror, bound, steps)
    for order in problem.orders:
        for search in (upward, downward):
            if min(upward.arena_bytes, downward.arena_bytes) > bound:
                search.run(order)
    is_proven = False
    if not (upward.is_over or downward.is_over) and len(problem.sizes) <= _FEW:
        is_proven = _Branching(upward).run()
    for search in sorted((upward, downward), key=lambda s: s.arena_bytes):
        if not is_proven and min(upward.arena_bytes, downward.arena_bytes) > bound:
            _climb(search)
    if upward.arena_bytes <= downward.arena_bytes:
        offsets = tuple(upward.offsets[i] for i in range(len(problem.sizes)))
        return Placement(offsets, upward.arena_bytes, is_proven or upward.arena_bytes <= bound)
    arena = downward.arena_bytes
    offsets = tuple(arena - downward.offsets[i] - size for i, size in enumerate(problem.sizes))
    return Placement(offsets, arena, is_proven or arena <= bound)


def lowest(apart: dict[int, Displacements], offsets: dict[int, int]) -> int:
    """Returns the lowest aligned offset of a body that keeps it apart from what has an offset."""
    near = [(offsets[j], kept) for j, kept in apart.items() if j in offsets]
    intervals = sorted((start + low, start + high) for start, kept in near for low, high in kept.forbidden)
    offset = 0
    for low, high in intervals:
        if low >= offset:
            break
        if low < offset < high:
            offset = -(-high // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    points = sorted(start + point for start, kept in near for point in kept.allowed)
    for point in points:
        if 0 <= point < offset and point % ALIGNMENT_BYTES == 0 and all(k.allows(point - s) for s, k in near):
            return point
    return offset


class _Branching:
    """Depth-first over orders; a branch ends where a body that is left cannot stay below the best so far."""

    def __init__(self, search: _Search) -> None:
        self._search = search
        self._problem = search.problem
        self._is_simple = all(kept.is_simple for others in search.problem.apart for kept in others.values())

    def run(self) -> bool:
        """Returns True where every order was looked at or excluded, or the bound was reached."""
        order = self._problem.orders[0]
        self._visit({}, dict.fromkeys(order, 0), 0)
        return self._search.steps > 0

    def _visit(self, placed: dict[int, int], open_: dict[int, int], top: int) -> None:
        """`open_` holds, in the first order, what is left with the lowest place it could take now."""
        search = self._search
        if not open_:
            search.take(tuple(placed), placed, top)
            return
        floor = next(reversed(placed.values())) if placed and self._is_simple else 0
        for index, offset in open_.items():
            if search.is_over:
                return
            if offset < floor:  # stretches can be placed in the order of their offsets: seen in another branch
                continue
            search.steps -= len(open_)  # all that is left is placed anew, for the bound
            placed[index] = offset
            left = {
                other: lowest(self._problem.apart[other], placed) if index in self._problem.apart[other] else low
                for other, low in open_.items()
                if other != index
            }
            end = max(top, offset + self._problem.sizes[index])
            ends = (low + self._problem.sizes[other] for other, low in left.items())
            if max(end, max(ends, default=0)) < search.arena_bytes:
                self._visit(placed, left, end)
            del placed[index]


def _climb(search: _Search) -> None:
    """Moves a body at the top, or one that it may not meet, to the front, as long as steps are left.

    A move that makes the arena no larger is kept: the next starts there.
    """
    dice = random.Random(_SEED)  # noqa: S311 -- a search order, no secret
    order, best = list(search.order), search.arena_bytes
    while not search.is_over:
        trial = _Search(search.problem, search.bound, search.steps)
        trial.run(_moved(search, order, dice))
        search.steps = trial.steps
        search.take(trial.order, trial.offsets, trial.arena_bytes)
        if trial.arena_bytes <= best or dice.random() < 0.02:
            order, best = list(trial.order), trial.arena_bytes


def _moved(search: _Search, order: list[int], dice: random.Random) -> list[int]:
    sizes, apart = search.problem.sizes, search.problem.apart
    tops = [i for i in order if search.offsets[i] + sizes[i] == search.arena_bytes]
    chosen = dice.choice(tops)
    if dice.random() < 0.5 and apart[chosen]:
        chosen = dice.choice(sorted(apart[chosen]))
    rest = [i for i in order if i != chosen]
    rest.insert(dice.randrange(order.index(chosen) + 1), chosen)
    return rest


def first_orders(sizes: Sequence[int], lives: Sequence[tuple[int, int]], crowd: Sequence[int]) -> Iterable[list[int]]:
    """Yields orders worth trying: by size, start, end, duration, area and how crowded a body's lifetime gets."""
    everything = range(len(sizes))

    def duration(i: int) -> int:
        return lives[i][1] - lives[i][0] + 1

    yield sorted(everything, key=lambda i: (-sizes[i], lives[i][0], i))
    yield sorted(everything, key=lambda i: (-sizes[i], -lives[i][0], i))
    yield sorted(everything, key=lambda i: (-crowd[i], -sizes[i], i))
    yield sorted(everything, key=lambda i: (-duration(i), -sizes[i], i))
    yield sorted(everything, key=lambda i: (-duration(i) * sizes[i], i))
    yield sorted(everything, key=lambda i: (lives[i][0], -sizes[i], i))
    yield sorted(everything, key=lambda i: (-lives[i][1], -sizes[i], i))


def _reflected(kept: Displacements, shift: int) -> Displacements:
    intervals = tuple((shift - high, shift - low) for low, high in reversed(kept.forbidden))
    return Displacements(intervals, tuple(shift - point for point in reversed(kept.allowed)))
