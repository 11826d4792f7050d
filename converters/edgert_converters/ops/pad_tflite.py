"""Pad by a constant to and from TFLite's PAD and PADV2; a cut is a SLICE in front."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgert.dtypes import DType
from edgert.quant import quantize
from edgert_converters.ops.attributes import get_str, input_or_attribute, normalise_axis
from edgert_converters.ops.mirror_pad_tflite import write_mirror_pad
from edgert_converters.tflite.layout import permuted
from edgert_converters.tflite.moves import move, read_moved

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_pad", "write_pad"]


def read_pad(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Pad by zero or, for PADV2, by its constant."""
    x = graph.read(operator.inputs[0])
    amounts = graph.required(operator, 1)
    pads = (*permuted(amounts[0::2], x.order), *permuted(amounts[1::2], x.order))
    inputs = [x.value, graph.ints(pads)]
    if len(operator.inputs) > 2:
        fill = graph.real_constant(operator.inputs[2])
        if fill is None:
            raise graph.error(operator, "the number to pad with must be a constant")
        inputs.append(graph.initializer("fill", fill.reshape(())))
    graph.finish(operator, graph.add("Pad", inputs, {"mode": "constant"}), x.order, activation="NONE")


def write_pad(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a PAD, or a PADV2 where the constant is not zero; other modes as MIRROR_PAD or gathers."""
    spec = graph.describe(node)
    pads = _pads(node, graph)
    mode = get_str(spec, "mode", "constant")
    if mode != "constant":
        write_mirror_pad(node, graph, pads, mode)
        return
    fill = _fill(node, graph)
    stored = read_moved(node, graph)
    index = stored.index
    if any(size < 0 for pair in pads for size in pair):
        index = _cut(index, [pads[axis] for axis in stored.order], graph)
    amounts = np.asarray([[max(size, 0) for size in pads[axis]] for axis in stored.order], np.int32)
    inputs = [index, graph.constant_tensor("pads", amounts)]
    if fill != 0:
        inputs.append(_fill_tensor(fill, index, graph))
    move(node, graph, "PAD" if fill == 0 else "PADV2", inputs, stored.order)


def _pads(node: ir.Node, graph: ExportGraph) -> list[tuple[int, int]]:
    """Returns the pads before and after every axis of the input."""
    spec = graph.describe(node)
    given = [graph.constant(value) if value is not None else None for value in node.inputs]
    amounts = input_or_attribute(spec, given, 1, "pads")
    axes = input_or_attribute(spec, given, 3, "axes")
    if amounts is None or (len(node.inputs) > 3 and node.inputs[3] is not None and axes is None):
        raise graph.unsupported(node, "its pads are computed")
    rank = len(graph.shape(node.inputs[0]))
    sizes = [int(size) for size in amounts.reshape(-1)]
    wanted = range(rank) if axes is None else [normalise_axis(int(axis), rank) for axis in axes.reshape(-1)]
    pads = [(0, 0)] * rank
    for axis, before, after in zip(wanted, sizes[: len(sizes) // 2], sizes[len(sizes) // 2 :], strict=True):
        pads[axis] = (before, after)
    return pads


def _fill(node: ir.Node, graph: ExportGraph) -> float:
    value = node.inputs[2] if len(node.inputs) > 2 else None
    found = graph.constant(value) if value is not None else None
    if value is not None and found is None:
        raise graph.unsupported(node, "the number to pad with is computed")
    if found is None:
        found = input_or_attribute(graph.describe(node), [], 2, "value")
    return 0.0 if found is None or found.size == 0 else float(found.reshape(-1)[0])


def _fill_tensor(fill: float, index: int, graph: ExportGraph) -> int:
    made = graph.made(index)
    if made.quant is not None:
        number = quantize(np.asarray(fill, np.float32), made.quant)
        return graph.constant_tensor("fill", np.asarray(number), params=made.quant)
    return graph.constant_tensor("fill", np.asarray(fill, (made.dtype or DType.FLOAT).numpy))


def _cut(index: int, pads: list[tuple[int, int]], graph: ExportGraph) -> int:
    """Adds a SLICE that takes away what negative pads cut."""
    made = graph.made(index)
    begin = [max(-before, 0) for before, _ in pads]
    size = [s - max(-before, 0) - max(-after, 0) for s, (before, after) in zip(made.shape, pads, strict=True)]
    target = graph.scratch(f"{made.name}_cut", size, made.dtype or DType.FLOAT, made.quant)
    constants = [graph.constant_tensor(name, np.asarray(v, np.int32)) for name, v in (("begin", begin), ("size", size))]
    graph.emit("SLICE", [index, *constants], [target])
    return target
