"""Where every buffer and every layer's scratch lies in the arena.

Greedy by size: the largest first, each at the lowest place where nothing that lives at the same time lies.
Source: Pisarchyk and Lee, Efficient memory management for deep neural net inference, 2020, arXiv:2001.03288,
section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgert_converters.exporters.c.network import Network

__all__ = ["ALIGNMENT_BYTES", "Item", "MemoryPlan", "plan_memory"]

ALIGNMENT_BYTES = 8


@dataclass(frozen=True, slots=True)
class Item:
    """Something that needs a place from layer `first` to layer `last`, both included; -1 is before the first layer."""

    size_bytes: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Offsets in bytes: of every buffer, and of every layer's scratch (0 where it has none).

    `items` are the buffers' lifetimes and `peak_layer` the layer during which most bytes are alive.
    """

    offsets: tuple[int, ...]
    scratch_offsets: tuple[int, ...]
    arena_bytes: int
    items: tuple[Item, ...]
    peak_layer: int


def plan_memory(network: Network) -> MemoryPlan:
    """Returns a plan in which no two things that live at the same time overlap.

    Inputs live from before the first layer, outputs to the end, persistent buffers always. A buffer that a layer
    computes in place takes the memory of the one it overwrites when that one dies there.
    """
    items = _lifetimes(network)
    scratch = [Item(layer.call.scratch_bytes, i, i) for i, layer in enumerate(network.layers)]
    groups = _in_place(network, items)
    offsets = _place([*items, *scratch], groups)
    ends = [offset + item.size_bytes for offset, item in zip(offsets, [*items, *scratch], strict=True)]
    alive = [
        sum(item.size_bytes for item in _heads(items, groups, layer)) + scratch[layer].size_bytes
        for layer in range(len(network.layers))
    ]
    peak = max(range(len(alive)), key=alive.__getitem__, default=0)
    count = len(items)
    return MemoryPlan(tuple(offsets[:count]), tuple(offsets[count:]), max(ends, default=0), tuple(items), peak)


def _heads(items: list[Item], groups: list[int], layer: int) -> list[Item]:
    """The largest living item of every group."""
    found: dict[int, Item] = {}
    for item, group in zip(items, groups, strict=True):
        if item.first <= layer <= item.last and item.size_bytes > found.get(group, Item(-1, 0, 0)).size_bytes:
            found[group] = item
    return list(found.values())


def _lifetimes(network: Network) -> list[Item]:
    end = len(network.layers)
    first = [end] * len(network.buffers)
    last = [-1] * len(network.buffers)
    for index, layer in enumerate(network.layers):
        for view in layer.writes:
            first[view.buffer] = min(first[view.buffer], index)
            last[view.buffer] = max(last[view.buffer], index)
        for view in layer.reads:
            last[view.buffer] = max(last[view.buffer], index)
    for index in network.inputs:
        first[index] = -1
    for index in (*network.outputs, *(state.source.buffer for state in network.states)):
        last[index] = end
    for index, buffer in enumerate(network.buffers):
        if buffer.is_persistent:
            first[index], last[index] = -1, end
    return [Item(b.size_bytes, f, n) for b, f, n in zip(network.buffers, first, last, strict=True)]


def _in_place(network: Network, items: list[Item]) -> list[int]:
    """Returns, per buffer, the first buffer of the chain that shares its memory."""
    groups = list(range(len(items)))
    for index, layer in enumerate(network.layers):
        for position in sorted(layer.overwrites):
            view, target = layer.reads[position], layer.writes[0]
            dies = items[view.buffer].last == index
            whole = view.offset_bytes == target.offset_bytes == 0
            fits = items[target.buffer].size_bytes <= items[groups[view.buffer]].size_bytes
            if dies and whole and fits and items[target.buffer].first == index:
                groups[target.buffer] = groups[view.buffer]
                break
    return groups


def _place(items: list[Item], groups: list[int]) -> list[int]:
    members: dict[int, list[int]] = {}
    for index in range(len(items)):
        members.setdefault(groups[index] if index < len(groups) else index, []).append(index)
    merged = {
        head: Item(
            max(items[i].size_bytes for i in group),
            min(items[i].first for i in group),
            max(items[i].last for i in group),
        )
        for head, group in members.items()
    }
    placed: dict[int, int] = {}
    for head in sorted(merged, key=lambda h: (-merged[h].size_bytes, merged[h].first, h)):
        placed[head] = _lowest(merged[head], [(placed[other], merged[other]) for other in placed])
    offsets = [0] * len(items)
    for head, group in members.items():
        for index in group:
            offsets[index] = placed[head]
    return offsets


def _lowest(item: Item, placed: list[tuple[int, Item]]) -> int:
    """The lowest aligned offset where `item` overlaps nothing that lives at the same time."""
    offset = 0
    for start, other in sorted(placed, key=lambda pair: pair[0]):
        apart = other.last < item.first or item.last < other.first
        if not apart and start < offset + item.size_bytes and offset < start + other.size_bytes:
            offset = -(-(start + other.size_bytes) // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    return offset
