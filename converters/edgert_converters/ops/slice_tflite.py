"""Slice to and from TFLite's STRIDED_SLICE, SLICE and REVERSE_V2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgert_converters.ops.attributes import input_or_attribute, normalise_axis
from edgert_converters.tflite.layout import permuted, without_axes
from edgert_converters.tflite.moves import move, read_moved, rename

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.ops.spec import Node
    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_reverse", "read_slice", "read_strided_slice", "write_slice"]

_FAR = 2**31 - 1


@dataclass(frozen=True, slots=True)
class _Cut:
    """What happens to one axis: [start:end:step], where an end of None goes to the border; `drops`: it has size 1."""

    start: int
    end: int | None
    step: int = 1
    drops: bool = False


def read_strided_slice(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Slice, a Squeeze for axes given as one number, an Unsqueeze for new axes."""
    begin, end, strides = (graph.required(operator, position) for position in (1, 2, 3))
    cuts, added = _resolve(operator, graph, begin, end, strides)
    _read_cuts(operator, graph, cuts, added)


def read_slice(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Slice; a size of -1 goes to the border."""
    starts, sizes = graph.required(operator, 1), graph.required(operator, 2)
    cuts = [_Cut(first, None if size == -1 else first + size) for first, size in zip(starts, sizes, strict=True)]
    if graph.dynamic_batch and cuts and cuts[0] == _Cut(0, 1):
        cuts[0] = _Cut(0, None)  # the file says the batch it was written for
    _read_cuts(operator, graph, cuts, [])


def read_reverse(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Slice with step -1."""
    rank = len(graph.shape(operator.inputs[0]))
    axes = {axis % rank for axis in graph.required(operator, 1)}
    _read_cuts(operator, graph, [_Cut(-1, None, -1) if axis in axes else _Cut(0, None) for axis in range(rank)], [])


def _resolve(
    operator: TfOperator, graph: ImportGraph, begin: tuple[int, ...], end: tuple[int, ...], strides: tuple[int, ...]
) -> tuple[list[_Cut], list[int]]:
    """Returns the cut of every input axis and the positions of new axes among those that are left and new."""

    def masked(name: str, position: int) -> bool:
        return bool(graph.option(operator, f"{name}_mask") >> position & 1)

    rank = len(graph.shape(operator.inputs[0]))
    listed = len(begin)
    new = [p for p in range(listed) if masked("new_axis", p) and not masked("ellipsis", p)]
    spread = rank - (listed - len(new) - sum(masked("ellipsis", p) for p in range(listed)))
    cuts: list[_Cut] = []
    added: list[int] = []
    place = 0
    for p in range(listed):
        if masked("ellipsis", p):
            cuts += [_Cut(0, None)] * spread
            place += spread
        elif p in new:
            added.append(place)
            place += 1
        elif masked("shrink_axis", p):
            cuts.append(_Cut(begin[p], begin[p] + 1 if begin[p] != -1 else None, 1, drops=True))
        else:
            start = begin[p] if not masked("begin", p) else (0 if strides[p] > 0 else -1)
            stop = None if masked("end", p) else end[p]
            if operator.options.get("offset") and stop is not None:
                stop += start
            cuts.append(_Cut(start, stop, strides[p]))
            place += 1
    return cuts + [_Cut(0, None)] * (rank - len(cuts)), added


def _read_cuts(operator: TfOperator, graph: ImportGraph, cuts: list[_Cut], added: list[int]) -> None:
    placed = graph.read(operator.inputs[0])
    value, order = placed.value, placed.order
    changed = [axis for axis, cut in enumerate(cuts) if cut != _Cut(0, None)]
    if changed:
        ends = [_border(cuts[axis]) for axis in changed]
        starts, steps = [cuts[axis].start for axis in changed], [cuts[axis].step for axis in changed]
        axes = [order.index(axis) for axis in changed]
        value = graph.add("Slice", [value, *(graph.ints(item) for item in (starts, ends, axes, steps))])
    dropped = [axis for axis, cut in enumerate(cuts) if cut.drops]
    if dropped:
        value = graph.kept(value, operator.outputs[0])
        value = graph.add("Squeeze", [value, graph.ints(sorted(order.index(axis) for axis in dropped))])
        order = without_axes(order, dropped)
    if added:
        value = graph.kept(value, operator.outputs[0]) if value is not placed.value else value
        value = graph.add("Unsqueeze", [value, graph.ints(added)])
        for axis in added:
            order = tuple(old + (old >= axis) for old in order)
            order = (*order[:axis], axis, *order[axis:])
    if value is placed.value:
        graph.place(operator, value, order)
    else:
        graph.finish(operator, value, order)


def _border(cut: _Cut) -> int:
    if cut.end is not None:
        return cut.end
    return _FAR if cut.step > 0 else -_FAR


def write_slice(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a STRIDED_SLICE in the order of its input, or nothing where it takes everything."""
    spec = graph.describe(node)
    stored = read_moved(node, graph)
    shape = graph.shape(node.inputs[0])
    cuts = _onnx_cuts(node, graph, spec, shape)
    if graph.shape(node.outputs[0]) == shape and all(cut.step == 1 for cut in cuts):
        rename(node, graph, stored.index, stored.order)
        return
    open_end = 0
    for position, axis in enumerate(stored.order):
        open_end |= int(cuts[axis].end is None) << position
    limits = [shape[axis] if cut.end is None else cut.end for axis, cut in enumerate(cuts)]
    columns = ([cut.start for cut in cuts], limits, [cut.step for cut in cuts])
    tensors = [
        graph.constant_tensor(name, np.asarray(permuted(column, stored.order), np.int32))
        for name, column in zip(("begin", "end", "strides"), columns, strict=True)
    ]
    options = {"begin_mask": 0, "end_mask": open_end, "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 0}
    move(node, graph, "STRIDED_SLICE", [stored.index, *tensors], stored.order, **options)


def _onnx_cuts(node: ir.Node, graph: ExportGraph, spec: Node, shape: tuple[int, ...]) -> list[_Cut]:
    """Returns the cut of every axis with bounds inside it; an end at the border is None."""
    columns: list[list[int]] = []
    for index, name in enumerate(("starts", "ends", "axes", "steps"), start=1):
        value = node.inputs[index] if index < len(node.inputs) else None
        array = graph.constant(value)
        if value is not None and array is None:
            raise graph.unsupported(node, f"its {name} depend on the model's data")
        found = array if array is not None else input_or_attribute(spec, (), index, name)
        columns.append([] if found is None else [int(number) for number in found.reshape(-1)])
    starts, ends, axes, steps = columns
    cuts = [_Cut(0, None)] * len(shape)
    for start, end, axis, step in zip(
        starts, ends, axes or range(len(starts)), steps or [1] * len(starts), strict=True
    ):
        place = normalise_axis(axis, len(shape))
        bounds = slice(start, None if step < 0 and end < -shape[place] else end, step).indices(shape[place])
        at_border = bounds[1] >= shape[place] if step > 0 else bounds[1] < 0
        cuts[place] = _Cut(bounds[0], None if at_border else bounds[1], step)
    return cuts
