"""Which stretches of a network to compute in strips so that its arena fits: the fewest extra MACs for a size.

The bytes alive inside a stretch do not depend on what is cut elsewhere, so the cheapest set of cuts under a limit is a
shortest path over the layers: each step runs one layer as it is or one stretch in strips, and is allowed where its own
peak is below the limit. Then the planner says what arena that really takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from edgert.errors import DoesNotFitError
from edgert_converters.exporters.c.network import Network
from edgert_converters.exporters.c.order import order_layers
from edgert_converters.exporters.c.patches import Stretch, cut, extra_macs, find_stretch, rows_of
from edgert_converters.exporters.c.planner import ALIGNMENT_BYTES, PLACEMENTS, MemoryPlan, alive_bytes, plan_memory
from edgert_converters.exporters.c.planner.lifetimes import bodies_of

__all__ = ["Choice", "Strips", "curve", "fit"]

_LONGEST = 16
"""Layers of a stretch: what strips compute twice grows with every layer."""
_CALL_MACS = 100
"""What one more call counts for beside MACs, so that of two plans with equal MACs the one of fewer strips is taken."""
_TRIES = 8
_CURVE_STEP = 0.98
_CURVE_EFFORT = 5_000


@dataclass(frozen=True, slots=True)
class Strips:
    """A cut: layers by their names, rows of one strip, MACs and calls that it adds. `peak_bytes` are alive inside."""

    first_layer: str
    last_layer: str
    stretch: Stretch
    strip_rows: int
    peak_bytes: int
    extra_macs: int
    extra_calls: int

    @property
    def count(self) -> int:
        """Strips."""
        return -(-self.stretch.out_rows // self.strip_rows)

    @property
    def cost(self) -> int:
        """Extra work in MACs."""
        return self.extra_macs + _CALL_MACS * self.extra_calls


@dataclass(frozen=True, slots=True)
class Choice:
    """A network as it will run and where its buffers lie. `cuts` are in the order of the layers; () is uncut."""

    network: Network
    plan: MemoryPlan
    cuts: tuple[Strips, ...] = ()

    @property
    def extra_macs(self) -> int:
        """MACs computed more than once."""
        return sum(strips.extra_macs for strips in self.cuts)


def fit(network: Network, max_arena_bytes: int | None = None) -> Choice:
    """Returns the plan of the fewest extra MACs whose arena fits. Deterministic.

    Args:
        network: as lowered; its layers are put in the order of the smallest peak first.
        max_arena_bytes: arena, inputs and outputs included; None takes what it needs without computing anything twice.

    Raises:
        DoesNotFitError: no plan is that small; it carries the smallest found and the layer of its peak.
    """
    network = order_layers(network)
    whole = Choice(network, plan_memory(network))
    if max_arena_bytes is None or whole.plan.arena_bytes <= max_arena_bytes:
        return whole
    cutter = _Cutter(network)
    for choice in _attempts(cutter, max_arena_bytes):
        if choice.plan.arena_bytes <= max_arena_bytes:
            return choice
    smallest = _smallest(cutter, whole)
    if smallest.plan.arena_bytes <= max_arena_bytes:
        return smallest
    layer = smallest.network.layers[smallest.plan.peak_layer].name.partition(";")[0]
    raise DoesNotFitError(network.name, "arena", max_arena_bytes, smallest.plan.arena_bytes, layer)


def curve(network: Network) -> list[Choice]:
    """Returns plans from the largest arena to the smallest, each with more extra work and a smaller arena."""
    network = order_layers(network)
    cutter, found = _Cutter(network), [Choice(network, plan_memory(network))]
    limit = found[0].plan.bound_bytes - 1
    while (cuts := cutter.cheapest(limit)) is not None:
        choice = cutter.choice(cuts, _CURVE_EFFORT)
        if choice.plan.arena_bytes < found[-1].plan.arena_bytes:
            while found and _work(found[-1]) >= _work(choice):
                found.pop()
            found.append(choice)
        limit = min(choice.plan.bound_bytes - 1, int(limit * _CURVE_STEP))
    return found


def _work(choice: Choice) -> int:
    return sum(strips.cost for strips in choice.cuts)


def _attempts(cutter: _Cutter, max_arena_bytes: int) -> Iterator[Choice]:
    """Yields plans under a falling limit: the planner cannot always reach the bytes alive."""
    limit = max_arena_bytes
    for _ in range(_TRIES):
        cuts = cutter.cheapest(limit)
        if cuts is None:
            return
        choice = cutter.choice(cuts)
        yield choice
        limit = min(limit, choice.plan.bound_bytes) - max(choice.plan.arena_bytes - max_arena_bytes, ALIGNMENT_BYTES)


def _smallest(cutter: _Cutter, whole: Choice) -> Choice:
    """Tries the fewest bytes alive, then more, as long as that can still make a smaller arena."""
    best, limit = whole, cutter.smallest_limit()
    while limit < best.plan.arena_bytes:
        cuts = cutter.cheapest(limit)
        if cuts is None:
            raise AssertionError(f"no cuts under {limit}, which is not below the smallest limit")
        choice = cutter.choice(cuts, _CURVE_EFFORT)
        best = min(best, choice, key=lambda c: c.plan.arena_bytes)
        limit = max(limit + 1, int(limit / _CURVE_STEP))
    return best


class _Cutter:
    """The cuts of one network, each looked at once."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._alive = alive_bytes(network)
        self._bodies = bodies_of(network)[: len(network.buffers)]
        self._stretches = list(_stretches(network))
        self._seen: dict[tuple[int, int, int], Strips] = {}

    def choice(self, cuts: Sequence[Strips], steps: int = PLACEMENTS) -> Choice:
        """Returns the network with these cuts, planned: strips downward, or in turns where that takes less."""
        downward = [False] * len(cuts)
        in_turns = [bool(index % 2) for index in range(len(cuts))]
        found: list[Choice] = []
        for directions in (downward, in_turns):
            network = self.network
            for strips, is_upward in reversed(list(zip(cuts, directions, strict=True))):
                network = _with_cut(network, strips, is_upward)
            found.append(Choice(network, plan_memory(network, steps=steps), tuple(cuts)))
            if len(cuts) < 2 or found[-1].plan.arena_bytes <= found[-1].plan.bound_bytes + ALIGNMENT_BYTES:
                break
        return min(found, key=lambda choice: choice.plan.arena_bytes)

    def smallest_limit(self) -> int:
        """Returns the smallest limit under which there are cuts."""
        low, high = 0, max(self._alive, default=0)
        while low < high:
            middle = (low + high) // 2
            if self.cheapest(middle) is None:
                low = middle + 1
            else:
                high = middle
        return low

    def cheapest(self, limit: int) -> list[Strips] | None:
        """Returns the cuts of the least work with which no more than `limit` bytes are alive, None where none are."""
        count = len(self.network.layers)
        best: list[tuple[int, tuple[Strips, ...]] | None] = [None] * (count + 1)
        best[0] = (0, ())
        for index in range(count):
            here = best[index]
            if here is None:
                continue
            steps: list[tuple[int, Strips | None]] = []
            if self._alive[index] <= limit:
                steps.append((index + 1, None))
            steps += [(strips.stretch.stop, strips) for strips in self._useful(index, limit)]
            for stop, strips in steps:
                cost = here[0] + (strips.cost if strips else 0)
                known = best[stop]
                if known is None or cost < known[0]:
                    best[stop] = (cost, (*here[1], strips) if strips else here[1])
        end = best[count]
        return None if end is None else list(end[1])

    def _useful(self, first: int, limit: int) -> Iterator[Strips]:
        """Yields, for each stretch from a layer on that needs it, the largest strips under the limit."""
        for stretch in self._stretches:
            if stretch.first != first or max(self._alive[first : stretch.stop]) <= limit:
                continue
            buffers, beside = self.network.buffers, self._beside_bytes(stretch)
            ends = (buffers[stretch.source].size_bytes, buffers[stretch.target].size_bytes)
            if max(ends) + beside > limit:
                continue
            for rows in _strip_rows(stretch.out_rows):
                strips = self._strips(stretch, rows, beside)
                if strips.peak_bytes <= limit:
                    yield strips
                    break

    def _strips(self, stretch: Stretch, rows: int, beside: int) -> Strips:
        key = (stretch.first, stretch.stop, rows)
        if key not in self._seen:
            layers = self.network.layers[stretch.first : stretch.stop]
            part = cut(self._alone(stretch), replace(stretch, first=0, stop=len(layers)), rows)
            self._seen[key] = Strips(
                layers[0].name,
                layers[-1].name,
                stretch,
                rows,
                max(alive_bytes(part)) + beside,
                extra_macs(self.network, stretch, rows),
                len(part.layers) - len(layers),
            )
        return self._seen[key]

    def _alone(self, stretch: Stretch) -> Network:
        """The stretch as a network of its own; its input stays to the end where something after it reads it."""
        source = self._bodies[stretch.source]
        outputs = (stretch.target, stretch.source) if source.last >= stretch.stop else (stretch.target,)
        layers = self.network.layers[stretch.first : stretch.stop]
        return replace(self.network, layers=layers, inputs=(stretch.source,), outputs=outputs, states=())

    def _beside_bytes(self, stretch: Stretch) -> int:
        """What lives through the stretch and has nothing to do with it."""
        total = 0
        for index, body in enumerate(self._bodies):
            if index not in {stretch.source, stretch.target}:
                alive = (p for p in body.pieces if p.first < stretch.first and p.last >= stretch.first)
                total += sum(piece.stop - piece.start for piece in alive)
        return total


def _with_cut(network: Network, strips: Strips, is_upward: bool) -> Network:
    """Cuts from the end forwards, so that layers before keep their numbers; buffers may have got others."""
    stretch = find_stretch(network, strips.stretch.first, strips.stretch.stop)
    if stretch is None:
        raise AssertionError(f"layers {strips.first_layer!r} to {strips.last_layer!r} cannot be cut any more")
    return cut(network, stretch, strips.strip_rows, is_upward=is_upward)


def _stretches(network: Network) -> Iterator[Stretch]:
    count = len(network.layers)
    can = [rows_of(network, layer) is not None for layer in network.layers]
    for first in range(count):
        for stop in range(first + 1, min(first + _LONGEST, count) + 1):
            if not can[stop - 1]:
                break
            stretch = find_stretch(network, first, stop)
            if stretch is not None and stretch.out_rows > 1:
                yield stretch


def _strip_rows(out_rows: int) -> list[int]:
    """Rows of a strip for 2, 3, ... strips of about one height, without repetitions."""
    return list(dict.fromkeys(-(-out_rows // count) for count in range(2, out_rows + 1)))
