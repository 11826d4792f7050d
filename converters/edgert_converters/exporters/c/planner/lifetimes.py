"""Which bytes are alive during which layers.

A buffer is a `Body`: stretches of it live for different layers, because strips write and read it piece by piece. That a
stretch dies before the rest is what lets the output of a chain grow into its own input. Overlapping the output of a
computation with the dead part of its input was shown, inside one layer, by Blacker, Bridges and Hadfield, Diagonal
memory optimisation for machine learning on micro-controllers, 2020, arXiv:2010.01668; here it happens between the
calls of strips, so that no kernel has to promise in which order it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgert_converters.exporters.c.network import Buffer, Layer, Network, View

__all__ = ["Body", "Piece", "Tie", "alive_bytes", "bodies_of", "can_overwrite", "ties_of"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `start` to `stop` (excluded) of a buffer live from layer `first` to layer `last`, both included.

    -1 is before the first layer, the number of layers is after the last.
    """

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Body:
    """A buffer or a layer's scratch: pieces that keep their distance, in the order of their bytes."""

    pieces: tuple[Piece, ...]

    @property
    def size_bytes(self) -> int:
        """Up to the last byte that ever lives."""
        return max((piece.stop for piece in self.pieces), default=0)

    @property
    def first(self) -> int:
        """The layer with which it starts to live."""
        return min((piece.first for piece in self.pieces), default=0)

    @property
    def last(self) -> int:
        """The layer with which it dies."""
        return max((piece.last for piece in self.pieces), default=0)


@dataclass(frozen=True, slots=True)
class Tie:
    """Layer `layer` may compute in place: the bytes of `write` over those of `read`, where both start at one place."""

    layer: int
    read: View
    write: View

    @property
    def displacement(self) -> int:
        """What the buffer of `write` then lies above the buffer of `read`."""
        return self.read.offset_bytes - self.write.offset_bytes


def bodies_of(network: Network) -> list[Body]:
    """Returns the body of every buffer, then of every layer's scratch (without pieces where there is none)."""
    reads: list[list[tuple[int, int, int]]] = [[] for _ in network.buffers]
    writes: list[list[tuple[int, int, int]]] = [[] for _ in network.buffers]
    for index, layer in enumerate(network.layers):
        for found, views in ((reads, layer.reads), (writes, layer.writes)):
            for view in views:
                found[view.buffer].append((*extent(network.buffers, view), index))
    end = len(network.layers)
    held = {*network.outputs, *(state.source.buffer for state in network.states)}
    for index, buffer in enumerate(network.buffers):
        whole = (0, buffer.size_bytes)
        if index in network.inputs or buffer.is_persistent:
            writes[index].append((*whole, -1))
        if index in held or buffer.is_persistent:
            reads[index].append((*whole, end))
    scratch = [
        Body((Piece(0, layer.call.scratch_bytes, i, i),) if layer.call.scratch_bytes else ())
        for i, layer in enumerate(network.layers)
    ]
    return [*map(_body, writes, reads), *scratch]


def extent(buffers: Sequence[Buffer], view: View) -> tuple[int, int]:
    """Returns the first byte of a view and the one after its last."""
    if view.size_bytes is None:
        return view.offset_bytes, buffers[view.buffer].size_bytes
    return view.offset_bytes, view.offset_bytes + view.size_bytes


def ties_of(network: Network) -> list[Tie]:
    """Returns every chance to compute in place. Whether what is overwritten dies there is not looked at."""
    return [
        Tie(index, layer.reads[position], layer.writes[0])
        for index, layer in enumerate(network.layers)
        for position in sorted(layer.overwrites)
        if can_overwrite(network.buffers, layer, position)
    ]


def can_overwrite(buffers: Sequence[Buffer], layer: Layer, position: int) -> bool:
    """Returns True where a layer's write is no larger than a read and no other read sees other bytes of that place."""
    read, size = layer.reads[position], _size(buffers, layer.writes[0])
    for other in layer.reads:
        start, stop = extent(buffers, other)
        is_shifted = other.buffer == read.buffer and start != read.offset_bytes
        if is_shifted and start < read.offset_bytes + size and read.offset_bytes < stop:
            return False
    return size <= _size(buffers, read)


def alive_bytes(network: Network) -> list[int]:
    """Returns, per layer, the bytes that must exist while it runs: no plan has a smaller arena than the largest.

    What a layer computes in place over something that dies there counts once.
    """
    change = [0] * (len(network.layers) + 2)
    bodies = bodies_of(network)
    for body in bodies:
        for piece in body.pieces:
            change[max(piece.first, 0)] += piece.stop - piece.start
            change[piece.last + 1] -= piece.stop - piece.start
    alive, total = [], 0
    for index, layer in enumerate(network.layers):
        total += change[index]
        alive.append(total - (_saved_bytes(network, bodies, index, layer) if layer.overwrites else 0))
    return alive


def _saved_bytes(network: Network, bodies: Sequence[Body], index: int, layer: Layer) -> int:
    write = layer.writes[0]
    size = _size(network.buffers, write)
    for position in sorted(layer.overwrites):
        read = layer.reads[position]
        start = read.offset_bytes
        dies = all(
            piece.last == index
            for piece in bodies[read.buffer].pieces
            if piece.start < start + size and start < piece.stop
        )
        if dies and can_overwrite(network.buffers, layer, position):
            return size
    return 0


def _size(buffers: Sequence[Buffer], view: View) -> int:
    start, stop = extent(buffers, view)
    return stop - start


def _body(writes: list[tuple[int, int, int]], reads: list[tuple[int, int, int]]) -> Body:
    """Cuts a buffer where a view starts or ends and joins neighbours that live for the same layers."""
    cuts = sorted({cut for start, stop, _ in (*writes, *reads) for cut in (start, stop)})
    pieces: list[Piece] = []
    for start, stop in zip(cuts, cuts[1:], strict=False):
        first = [layer for low, high, layer in writes if low <= start and stop <= high]
        layers = first + [layer for low, high, layer in reads if low <= start and stop <= high]
        if not first:
            continue
        piece = Piece(start, stop, min(first), max(layers))
        if pieces and (pieces[-1].stop, pieces[-1].first, pieces[-1].last) == (start, piece.first, piece.last):
            piece = Piece(pieces.pop().start, stop, piece.first, piece.last)
        pieces.append(piece)
    return Body(tuple(pieces))
