"""An arena of symbols: runs a network where every byte remembers how it was made, so that a wrong plan cannot hide."""

from __future__ import annotations

from collections.abc import Sequence

from edgert_converters.exporters.c.network import Layer, Network, View
from edgert_converters.exporters.c.planner import ALIGNMENT_BYTES, MemoryPlan
from edgert_converters.exporters.c.planner.lifetimes import extent

Value = int | None
_GARBAGE: Value = None


def run_in_arena(network: Network, plan: MemoryPlan) -> list[list[Value]]:
    """Returns the symbols of every output (then of every state's source) after one run.

    Asserts what kernels rely on: buffers start at whole alignments inside the arena, scratch meets nothing, and a write
    meets a read only where the layer computes in place. Layers with rows compute each output row from the rows of its
    window, element-wise ones each byte from those in its place; others compute each from everything that they read.
    """
    arena: list[Value] = [_GARBAGE] * plan.arena_bytes
    given = {*network.inputs, *(i for i, buffer in enumerate(network.buffers) if buffer.is_persistent)}
    for index in sorted(given):
        name = network.buffers[index].name
        _put(
            arena,
            _place(network, plan, View(index)),
            [hash((name, i)) for i in range(network.buffers[index].size_bytes)],
        )
    assert all(offset % ALIGNMENT_BYTES == 0 for offset in (*plan.offsets, *plan.scratch_offsets))
    for index, layer in enumerate(network.layers):
        _run_layer(network, plan, index, layer, arena)
    ends = [*(View(output) for output in network.outputs), *(state.source for state in network.states)]
    return [arena[slice(*_place(network, plan, view))] for view in ends]


def _run_layer(network: Network, plan: MemoryPlan, index: int, layer: Layer, arena: list[Value]) -> None:
    reads = [_place(network, plan, view) for view in layer.reads]
    writes = [_place(network, plan, view) for view in layer.writes]
    start = plan.scratch_offsets[index]
    scratch = (start, start + layer.call.scratch_bytes)
    assert scratch[1] <= len(arena)
    assert not any(_meet(scratch, place) for place in (*reads, *writes))
    for position, read in enumerate(reads):
        for number, write in enumerate(writes):
            is_tie = number == 0 and position in layer.overwrites and read[0] == write[0] and read[1] >= write[1]
            is_echo = any(read == reads[other] for other in layer.overwrites if other != position)
            assert is_tie or is_echo or not _meet(read, write), (layer.name, read, write)
    _put(arena, scratch, [_GARBAGE] * (scratch[1] - scratch[0]))
    values = [arena[slice(*read)] for read in reads]
    for number, write in enumerate(writes):
        size = write[1] - write[0]
        _put(arena, write, _computed(layer, values, size) if number == 0 else _mixed(layer, number, values, size))


def _computed(layer: Layer, values: Sequence[Sequence[Value]], size: int) -> list[Value]:
    rows = layer.rows
    if set(layer.call.arguments) == {"count"} and all(len(value) == size for value in values):
        return [hash((layer.name, *(value[i] for value in values))) for i in range(size)]
    if rows is None:
        return _mixed(layer, 0, values, size)
    in_rows, out_rows, top = (layer.call.arguments[name] for name in ("in_rows", "out_rows", "pad_top"))
    widths = [len(value) // in_rows for value in values]
    made: list[Value] = []
    for row in range(out_rows):
        window = range(row * rows.stride - top, row * rows.stride - top + rows.kernel)
        seen = hash(
            tuple(
                tuple(value[r * width : (r + 1) * width]) if 0 <= r < in_rows else "padding"
                for value, width in zip(values, widths, strict=True)
                for r in window
            )
        )
        made += [hash((layer.name, seen, i)) for i in range(size // out_rows)]
    return made


def _mixed(layer: Layer, number: int, values: Sequence[Sequence[Value]], size: int) -> list[Value]:
    seen = hash(tuple(map(tuple, values)))
    return [hash((layer.name, number, seen, i)) for i in range(size)]


def _place(network: Network, plan: MemoryPlan, view: View) -> tuple[int, int]:
    start, stop = extent(network.buffers, view)
    return plan.offsets[view.buffer] + start, plan.offsets[view.buffer] + stop


def _put(arena: list[Value], place: tuple[int, int], values: Sequence[Value]) -> None:
    assert place[0] >= 0
    assert place[1] <= len(arena)
    arena[slice(*place)] = values[: place[1] - place[0]]


def _meet(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return max(a[0], b[0]) < min(a[1], b[1])
