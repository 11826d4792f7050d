"""Pad by reflection to and from TFLite's MIRROR_PAD; repeating the edge (also TFLite's SYMMETRIC) becomes a gather."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgert_converters.tflite.layout import permuted
from edgert_converters.tflite.moves import move, read_moved

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_mirror_pad", "write_mirror_pad"]

_REFLECT, _SYMMETRIC = 0, 1


def read_mirror_pad(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Pad in mode reflect, or for SYMMETRIC one Gather per padded axis."""
    x, amounts = operator.inputs[0], graph.required(operator, 1)
    placed, shape = graph.read(x), graph.shape(x)
    before, after = amounts[0::2], amounts[1::2]
    if operator.options.get("mode", _REFLECT) == _REFLECT:
        pads = (*permuted(before, placed.order), *permuted(after, placed.order))
        graph.finish(operator, graph.add("Pad", [placed.value, graph.ints(pads)], {"mode": "reflect"}), placed.order)
        return
    value = placed.value
    for axis, width in enumerate(zip(before, after, strict=True)):
        if any(width):
            index = np.pad(np.arange(shape[axis]), width, mode="symmetric")
            source = graph.kept(value, x) if value is not placed.value else value
            value = graph.add("Gather", [source, graph.ints(list(index))], {"axis": placed.order.index(axis)})
    if value is placed.value:
        graph.place(operator, value, placed.order)
    else:
        graph.finish(operator, value, placed.order)


def write_mirror_pad(node: ir.Node, graph: ExportGraph, pads: Sequence[tuple[int, int]], mode: str) -> None:
    """Writes a reflection as MIRROR_PAD, a repeated edge as a GATHER along every padded axis.

    Args:
        node: a Pad.
        graph: under construction.
        pads: before and after every axis of the input.
        mode: reflect or edge.

    Raises:
        ModelError: a pad cuts, or the mode has no counterpart.
    """
    if mode not in {"reflect", "edge"} or any(size < 0 for pair in pads for size in pair):
        raise graph.unsupported(node, f"mode {mode} with the pads {list(pads)}")
    stored = read_moved(node, graph)
    if mode == "reflect":
        amounts = np.asarray([pads[axis] for axis in stored.order], np.int32)
        inputs = [stored.index, graph.constant_tensor("pads", amounts)]
        move(node, graph, "MIRROR_PAD", inputs, stored.order, mode=_REFLECT)
        return
    index = stored.index
    padded = [(place, pads[axis]) for place, axis in enumerate(stored.order) if any(pads[axis])] or [(0, (0, 0))]
    for number, (place, width) in enumerate(padded):
        source = graph.made(index)
        taken = np.pad(np.arange(source.shape[place]), width, mode="edge")
        inputs = [index, graph.constant_tensor("indices", taken)]
        if number == len(padded) - 1:
            move(node, graph, "GATHER", inputs, stored.order, axis=place, batch_dims=0)
            return
        shape = (*source.shape[:place], taken.size, *source.shape[place + 1 :])
        index = graph.like(index, f"{node.name}_edge", shape)
        graph.emit("GATHER", inputs, [index], axis=place, batch_dims=0)
