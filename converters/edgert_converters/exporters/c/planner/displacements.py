"""How far apart two bodies may lie: the displacements that would lay living bytes over living bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgert_converters.exporters.c.planner.lifetimes import Body, Piece, Tie

__all__ = ["Displacements", "displacements_of"]


@dataclass(frozen=True, slots=True)
class Displacements:
    """Of body b above body a: `forbidden` are open intervals in order, `allowed` are exceptions inside them."""

    forbidden: tuple[tuple[int, int], ...]
    allowed: tuple[int, ...] = ()

    @property
    def is_simple(self) -> bool:
        """One is wholly above the other: nothing in place, nothing interlocked."""
        return len(self.forbidden) == 1 and not self.allowed

    def mirrored(self) -> Displacements:
        """Those of body a above body b."""
        intervals = tuple((-high, -low) for low, high in reversed(self.forbidden))
        return Displacements(intervals, tuple(-point for point in reversed(self.allowed)))

    def allows(self, displacement: int) -> bool:
        """True where nothing overlaps."""
        return displacement in self.allowed or not any(low < displacement < high for low, high in self.forbidden)


def displacements_of(a: Body, b: Body, ties: Sequence[Tie] = ()) -> Displacements | None:
    """Returns what keeps two bodies apart, None where they never live at the same time.

    Args:
        a: read by the ties.
        b: written by the ties.
        ties: layers that may compute bytes of b over bytes of a.
    """
    if a.last < b.first or b.last < a.first:
        return None
    intervals = [
        (p.start - q.stop, p.stop - q.start)
        for p in a.pieces
        for q in b.pieces
        if p.first <= q.last and q.first <= p.last
    ]
    if not intervals:
        return None
    points = {tie.displacement for tie in ties if _can_compute_in_place(a, b, tie)}
    return Displacements(_merged(intervals), tuple(sorted(points)))


def _can_compute_in_place(a: Body, b: Body, tie: Tie) -> bool:
    """True where at the tie's displacement nothing meets but bytes that die with bytes that start, at its layer."""
    for p in a.pieces:
        for q in b.pieces:
            meets = p.start < q.stop + tie.displacement and q.start + tie.displacement < p.stop
            together = p.first <= q.last and q.first <= p.last
            if meets and together and not _is_waived(p, q, tie):
                return False
    return True


def _is_waived(p: Piece, q: Piece, tie: Tie) -> bool:
    read, write = tie.read, tie.write
    inside = p.start >= read.offset_bytes and q.start >= write.offset_bytes
    inside &= read.size_bytes is None or p.stop <= read.offset_bytes + read.size_bytes
    inside &= write.size_bytes is None or q.stop <= write.offset_bytes + write.size_bytes
    return inside and p.last == tie.layer == q.first


def _merged(intervals: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Joins open intervals that overlap; two that only touch leave the place between them free."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(intervals):
        if found and low < found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return tuple(found)
