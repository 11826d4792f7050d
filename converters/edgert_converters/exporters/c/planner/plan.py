"""The memory plan of a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgert_converters.exporters.c.network import Network
from edgert_converters.exporters.c.planner.displacements import Displacements, displacements_of
from edgert_converters.exporters.c.planner.lifetimes import Body, Tie, alive_bytes, bodies_of, ties_of
from edgert_converters.exporters.c.planner.placement import ALIGNMENT_BYTES, Problem, first_orders, place

__all__ = ["PLACEMENTS", "Item", "MemoryPlan", "plan_memory"]

PLACEMENTS = 60_000
"""What a plan may cost: placements of one buffer."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that needs a place from layer `first` to layer `last`, both included; -1 is before the first layer."""

    size_bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Offsets in bytes: of every buffer, and of every layer's scratch (0 where it has none).

    `items` are the buffers' lifetimes and `peak_layer` the layer during which most bytes are alive. `bound_bytes`:
    those bytes; no arena for these layers in this order is smaller.
    """

    offsets: tuple[int, ...]
    scratch_offsets: tuple[int, ...]
    arena_bytes: int
    items: tuple[Item, ...]
    peak_layer: int
    bound_bytes: int = 0


def plan_memory(network: Network, *, steps: int = PLACEMENTS) -> MemoryPlan:
    """Returns a plan in which no two bytes that live at the same time overlap. Deterministic.

    Inputs live from before the first layer, outputs to the end, persistent buffers always. A layer computes in place
    where it may and what it overwrites dies there, if that makes the arena smaller or costs nothing.

    Args:
        network: its layers run in the order in which they stand.
        steps: effort; one is the placement of one buffer.
    """
    alive = alive_bytes(network)
    peak = max(range(len(alive)), key=alive.__getitem__, default=0)
    bodies = bodies_of(network)
    living = [index for index, body in enumerate(bodies) if body.pieces]
    inputs = sum(network.buffers[index].size_bytes for index in set(network.inputs))
    bound = max(alive[peak] if alive else 0, inputs)
    placement = place(_problem(network, bodies, living, alive), _aligned(bound), steps)
    offsets = [0] * len(bodies)
    for index, offset in zip(living, placement.offsets, strict=True):
        offsets[index] = offset
    arena = max((offsets[i] + bodies[i].size_bytes for i in living), default=0)
    count = len(network.buffers)
    items = tuple(
        Item(buffer.size_bytes, body.first, body.last)
        for buffer, body in zip(network.buffers, bodies[:count], strict=True)
    )
    return MemoryPlan(tuple(offsets[:count]), tuple(offsets[count:]), arena, items, peak, bound)


def _problem(network: Network, bodies: Sequence[Body], living: Sequence[int], alive: Sequence[int]) -> Problem:
    ties: dict[tuple[int, int], list[Tie]] = {}
    for tie in ties_of(network):
        ties.setdefault((tie.read.buffer, tie.write.buffer), []).append(tie)
    apart: list[dict[int, Displacements]] = [{} for _ in living]
    for i, a in enumerate(living):
        for j, b in enumerate(living[:i]):
            kept = _between(bodies, b, a, ties)
            if kept is not None:
                apart[i][j], apart[j][i] = kept, kept.mirrored()
    sizes = [_aligned(bodies[index].size_bytes) for index in living]
    lives = [(bodies[index].first, bodies[index].last) for index in living]
    crowd = [max((*alive[max(first, 0) : last + 1], 0)) for first, last in lives]
    orders = dict.fromkeys(tuple(order) for order in first_orders(sizes, lives, crowd))
    return Problem(tuple(sizes), tuple(apart), tuple(orders))


def _between(bodies: Sequence[Body], a: int, b: int, ties: dict[tuple[int, int], list[Tie]]) -> Displacements | None:
    """What b above a may not be."""
    if (b, a) in ties:
        kept = displacements_of(bodies[b], bodies[a], ties[b, a])
        return None if kept is None else kept.mirrored()
    return displacements_of(bodies[a], bodies[b], ties.get((a, b), ()))


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
