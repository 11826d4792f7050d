"""Patch-based execution: a stretch of layers computed strip by strip of its output, so that what lies between is small.

Each strip runs every layer of the stretch on the rows that the strip needs; rows at the border of two strips are
computed twice. Only arguments of the calls change (`in_rows`, `out_rows`, `pad_top`): a strip at the top has the
padding above it, one in the middle has none, the last one's input ends early. All strips share one function and its
weights.

Source: Lin, Chen, Cai, Gan and Han, MCUNetV2: memory-efficient patch-based inference for tiny deep learning, 2021,
arXiv:2110.15352, section 3.1. Two differences: patches are strips over the whole width, because rows are contiguous;
and the strips' output may take the place of input rows that no later strip reads (planner/lifetimes.py), so cutting
pays everywhere in a network and not only at its head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from edgert_converters.exporters.c.network import Buffer, Call, Layer, Network, Rows, View

__all__ = ["Stretch", "cut", "extra_macs", "find_stretch"]

_ARGUMENTS = {"in_rows", "out_rows", "pad_top"}
_WINDOW = tuple[int, int]
"""The first row and the one after the last."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Layers `first` to `stop` (excluded) that can be cut: one buffer goes in, one comes out."""

    first: int
    stop: int
    source: int
    target: int
    rows: tuple[Rows, ...]

    @property
    def out_rows(self) -> int:
        """Rows of the output."""
        return self.rows[-1].out_rows


@dataclass(frozen=True, slots=True)
class _Part:
    """What of one layer a strip computes: the rows of its output, those of its inputs, the padding above."""

    made: _WINDOW
    taken: _WINDOW
    pad_top: int


def find_stretch(network: Network, first: int, stop: int) -> Stretch | None:
    """Returns layers `first` to `stop` as something that can be cut, None where they are nothing of that kind.

    They read one buffer that they do not write, each makes one buffer, and only the last one's is used by others.
    """
    layers = network.layers[first:stop]
    rows = [rows_of(network, layer) for layer in layers]
    whole = all(len(layer.writes) == 1 and layer.writes[0] == View(layer.writes[0].buffer) for layer in layers)
    if not layers or not whole or any(r is None for r in rows):
        return None
    made = [layer.writes[0].buffer for layer in layers]
    outside = {view.buffer for layer in layers for view in layer.reads} - set(made)
    if len(outside) != 1 or len(set(made)) != len(made) or not _is_closed(network, first, stop, made):
        return None
    source = next(iter(outside))
    if any(view.offset_bytes for layer in layers for view in layer.reads):
        return None
    known = tuple(r for r in rows if r is not None)
    return Stretch(first, stop, source, made[-1], known) if _agree(network, layers, known) else None


def rows_of(network: Network, layer: Layer) -> Rows | None:
    """Returns how a layer's output rows depend on its input rows, None where it cannot be cut.

    An element-wise layer is told by its only argument: the count of elements of all its reads and its write.
    """
    if layer.rows is not None:
        return layer.rows if set(layer.call.arguments) >= _ARGUMENTS else None
    buffers = [network.buffers[view.buffer] for view in (*layer.reads, *layer.writes)]
    shape = buffers[-1].shape
    plain = len(shape) == 3 and all(math.prod(b.shape) == math.prod(shape) for b in buffers)
    if plain and dict(layer.call.arguments) == {"count": math.prod(shape)}:
        return Rows(1, 1, 0, shape[0], shape[0])
    return None


def cut(network: Network, stretch: Stretch, strip_rows: int, *, is_upward: bool = False) -> Network:
    """Returns the network with a stretch computed `strip_rows` rows of its output at a time.

    Args:
        network: it is not changed.
        stretch: of its layers.
        strip_rows: rows of a strip; the lowest strip can have fewer.
        is_upward: the lowest strip first. Strips leave their output a little above their input, or below it if they
            run upward; stretches in turns keep the arena from drifting.
    """
    layers = network.layers[stretch.first : stretch.stop]
    buffers, made = list(network.buffers), []
    windows = _windows(stretch, strip_rows)
    for window in reversed(windows) if is_upward else windows:
        homes: dict[int, tuple[View, _WINDOW]] = {}
        for layer, rows, part in zip(layers, stretch.rows, _parts(layers, stretch, window), strict=True):
            made.append(_strip(layer, rows, part, homes, buffers, stretch))
    done = (*network.layers[: stretch.first], *made, *network.layers[stretch.stop :])
    return _without_unused(replace(network, buffers=tuple(buffers), layers=done))


def extra_macs(network: Network, stretch: Stretch, strip_rows: int) -> int:
    """Returns the MACs that strips of this many rows add; below zero where nobody reads some rows."""
    layers = network.layers[stretch.first : stretch.stop]
    total = 0
    for window in _windows(stretch, strip_rows):
        for layer, rows, part in zip(layers, stretch.rows, _parts(layers, stretch, window), strict=True):
            total += layer.macs * (part.made[1] - part.made[0]) // rows.out_rows
    return total - sum(layer.macs for layer in layers)


def _windows(stretch: Stretch, strip_rows: int) -> list[_WINDOW]:
    starts = range(0, stretch.out_rows, strip_rows)
    return [(start, min(start + strip_rows, stretch.out_rows)) for start in starts]


def _is_closed(network: Network, first: int, stop: int, made: Sequence[int]) -> bool:
    """True where nobody outside touches what lies between, and everything inside is used before the end."""
    inner = set(made[:-1])
    kept = {*network.inputs, *network.outputs, *(s.source.buffer for s in network.states)}
    for index, layer in enumerate(network.layers):
        is_inside = first <= index < stop
        touched = {view.buffer for view in layer.writes} | (set() if is_inside else {v.buffer for v in layer.reads})
        if not is_inside and (touched & inner or {v.buffer for v in layer.writes} & set(made)):
            return False
    inside = {view.buffer for layer in network.layers[first:stop] for view in layer.reads}
    persistent = any(network.buffers[buffer].is_persistent for buffer in made)
    return not persistent and not inner & kept and inner <= inside and made[-1] not in inside


def _agree(network: Network, layers: Sequence[Layer], rows: Sequence[Rows]) -> bool:
    """True where every buffer has the rows that its layers say, each of whole bytes."""
    found: dict[int, int] = {}
    for layer, r in zip(layers, rows, strict=True):
        for view, count in (*((view, r.in_rows) for view in layer.reads), (layer.writes[0], r.out_rows)):
            if found.setdefault(view.buffer, count) != count or network.buffers[view.buffer].size_bytes % count:
                return False
    return True


def _parts(layers: Sequence[Layer], stretch: Stretch, window: _WINDOW) -> list[_Part]:
    """From the rows of the last output backwards: a buffer's rows are all that its readers need."""
    needed: dict[int, _WINDOW] = {stretch.target: window}
    parts = []
    for layer, rows in zip(reversed(layers), reversed(stretch.rows), strict=True):
        made = needed[layer.writes[0].buffer]
        top = made[0] * rows.stride - rows.pad_top
        bottom = (made[1] - 1) * rows.stride - rows.pad_top + rows.kernel
        taken = (max(top, 0), min(bottom, rows.in_rows))
        parts.append(_Part(made, taken, max(-top, 0)))
        for view in layer.reads:
            first, last = needed.get(view.buffer, taken)
            needed[view.buffer] = (min(first, taken[0]), max(last, taken[1]))
    return parts[::-1]


def _strip(
    layer: Layer,
    rows: Rows,
    part: _Part,
    homes: dict[int, tuple[View, _WINDOW]],
    buffers: list[Buffer],
    stretch: Stretch,
) -> Layer:
    """One layer of one strip. `homes` says where the strip's rows of every buffer of the stretch lie."""
    reads = []
    for view in layer.reads:
        size = buffers[view.buffer].size_bytes // rows.in_rows
        home, window = homes.get(view.buffer, (view, (0, rows.in_rows)))
        start = home.offset_bytes + (part.taken[0] - window[0]) * size
        reads.append(View(home.buffer, start, (part.taken[1] - part.taken[0]) * size))
    target = layer.writes[0].buffer
    whole, count = buffers[target], part.made[1] - part.made[0]
    size = whole.size_bytes // rows.out_rows
    home = View(target, part.made[0] * size, count * size)
    if target != stretch.target:
        home = View(len(buffers), 0, count * size)
        shape = (
            (count, *whole.shape[1:])
            if whole.shape[0] == rows.out_rows
            else (count, size // whole.dtype.itemsize_bytes)
        )
        buffers.append(replace(whole, name=f"{whole.name} rows {_span(part.made)}", shape=shape))
    homes[target] = (home, part.made)
    note = ", ".join(filter(None, (layer.note, f"rows {_span(part.made)} of {rows.out_rows}")))
    return replace(
        layer,
        reads=tuple(reads),
        writes=(home,),
        call=_call(layer.call, rows, part),
        macs=layer.macs * count // rows.out_rows,
        note=note,
    )


def _call(call: Call, rows: Rows, part: _Part) -> Call:
    count = part.made[1] - part.made[0]
    values: Mapping[str, int] = {
        "in_rows": part.taken[1] - part.taken[0],
        "out_rows": count,
        "pad_top": part.pad_top,
        "count": call.arguments.get("count", 0) * count // rows.out_rows,
    }
    return replace(call, arguments={name: values.get(name, given) for name, given in call.arguments.items()})


def _span(window: _WINDOW) -> str:
    return f"{window[0]}-{window[1] - 1}" if window[1] - window[0] > 1 else str(window[0])


def _without_unused(network: Network) -> Network:
    """Numbers the buffers anew: those that the strips replaced are gone."""
    used = {*network.inputs, *network.outputs}
    for state in network.states:
        used |= {state.target, state.source.buffer}
    for layer in network.layers:
        used |= {view.buffer for view in (*layer.reads, *layer.writes)}
    numbers = {old: new for new, old in enumerate(sorted(used))}

    def moved(views: Sequence[View]) -> tuple[View, ...]:
        return tuple(replace(view, buffer=numbers[view.buffer]) for view in views)

    return replace(
        network,
        buffers=tuple(network.buffers[old] for old in sorted(used)),
        layers=tuple(replace(layer, reads=moved(layer.reads), writes=moved(layer.writes)) for layer in network.layers),
        inputs=tuple(numbers[i] for i in network.inputs),
        outputs=tuple(numbers[i] for i in network.outputs),
        states=tuple(replace(s, target=numbers[s.target], source=moved((s.source,))[0]) for s in network.states),
    )
