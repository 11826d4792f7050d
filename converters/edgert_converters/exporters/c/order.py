"""The order of layers in which the fewest bytes are alive at once.

Source: Liberis and Lane, Neural networks on microcontrollers: saving memory at inference via operator reordering, 2019,
arXiv:1910.05110, section 3, which also goes through the sets of layers that have run; here best first, so that the
search ends with the first complete order, and with what is computed in place counted once.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgert_converters.exporters.c.network import Layer, Network, View
from edgert_converters.exporters.c.planner import alive_bytes
from edgert_converters.exporters.c.planner.lifetimes import can_overwrite

__all__ = ["order_layers"]

_STEPS = 20_000


@dataclass(frozen=True, slots=True)
class _Use:
    """A buffer as bit sets of the layers that write and read it. `ends`: it outlives the run, or was there before."""

    size_bytes: int
    writers: int
    readers: int
    is_given: bool
    is_kept: bool

    def is_alive(self, done: int) -> bool:
        """True between the layers of `done` and what follows."""
        begun = self.is_given or bool(self.writers & done)
        return begun and (self.is_kept or bool((self.readers | self.writers) & ~done))


def order_layers(network: Network, *, steps: int = _STEPS) -> Network:
    """Returns the network with its layers in the order of the smallest peak; unchanged where none is smaller.

    Deterministic. Layers that write or read one buffer in turns keep their turns.

    Args:
        network: any; strips are best cut afterwards.
        steps: sets of layers to look at; beyond, the order that the model came with stays.
    """
    given = max(alive_bytes(network), default=0)
    search = _Search(network)
    queue: list[tuple[int, int, int]] = [(0, 0, 0)]
    parents: dict[int, tuple[int, int]] = {}
    seen: set[int] = set()
    everything = (1 << len(network.layers)) - 1
    while queue and len(seen) < steps:
        peak, _, done = heapq.heappop(queue)
        if done == everything:
            return replace(network, layers=tuple(network.layers[i] for i in _path(parents, done)))
        if done in seen:
            continue
        seen.add(done)
        for layer in search.ready(done):
            after = done | 1 << layer
            cost = max(peak, search.alive_bytes(done, layer))
            if after not in seen and cost < given and (after not in parents or cost < search.best[after]):
                parents[after], search.best[after] = (done, layer), cost
                heapq.heappush(queue, (cost, -after.bit_count(), after))
    return network


def _path(parents: dict[int, tuple[int, int]], done: int) -> list[int]:
    order: list[int] = []
    while done:
        done, layer = parents[done]
        order.append(layer)
    return order[::-1]


class _Search:
    """What the search asks of a network. `best` holds the smallest peak with which a set of layers was reached."""

    def __init__(self, network: Network) -> None:
        self._layers, self._buffers = network.layers, network.buffers
        self._uses = _uses(network)
        self._needs = _needs(network)
        self.best: dict[int, int] = {}

    def ready(self, done: int) -> Iterator[int]:
        """Yields the layers that can run next, in the given order."""
        for index, needs in enumerate(self._needs):
            if not done >> index & 1 and needs & ~done == 0:
                yield index

    def alive_bytes(self, done: int, index: int) -> int:
        """Returns the bytes that exist while a layer runs after those of `done`."""
        layer, after = self._layers[index], done | 1 << index
        made = {view.buffer for view in layer.writes}
        total = sum(u.size_bytes for b, u in enumerate(self._uses) if b in made or u.is_alive(done))
        return total + layer.call.scratch_bytes - self._saved_bytes(layer, done, after)

    def _saved_bytes(self, layer: Layer, done: int, after: int) -> int:
        target = self._uses[layer.writes[0].buffer]
        for position in sorted(layer.overwrites):
            view = layer.reads[position]
            use = self._uses[view.buffer]
            fits = can_overwrite(self._buffers, layer, position) and layer.writes[0] == View(layer.writes[0].buffer)
            if fits and not use.is_alive(after) and not target.is_alive(done):
                return target.size_bytes
        return 0


def _uses(network: Network) -> list[_Use]:
    writers, readers = [0] * len(network.buffers), [0] * len(network.buffers)
    for index, layer in enumerate(network.layers):
        for view in layer.writes:
            writers[view.buffer] |= 1 << index
        for view in layer.reads:
            readers[view.buffer] |= 1 << index
    kept = {*network.outputs, *(state.source.buffer for state in network.states)}
    return [
        _Use(
            buffer.size_bytes,
            writers[index],
            readers[index],
            index in network.inputs or buffer.is_persistent,
            index in kept or buffer.is_persistent,
        )
        for index, buffer in enumerate(network.buffers)
    ]


def _needs(network: Network) -> list[int]:
    """Per layer, the earlier layers that must run before it: they touch a buffer and one of the two writes it."""
    found = []
    for index, layer in enumerate(network.layers):
        reads, writes = {view.buffer for view in layer.reads}, {view.buffer for view in layer.writes}
        needs = 0
        for before, other in enumerate(network.layers[:index]):
            made = {view.buffer for view in other.writes}
            touched = made | {view.buffer for view in other.reads}
            if made & reads or touched & writes:
                needs |= 1 << before
        found.append(needs)
    return found
