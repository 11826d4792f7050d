"""What makes shapes and constants, and Cast, to and from TFLite: SHAPE, RANGE, FILL, BROADCAST_TO, TILE, CAST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edgert.dtypes import DType
from edgert_converters.ops.attributes import get_int
from edgert_converters.tflite.layout import identity, invert, permuted
from edgert_converters.tflite.moves import move, read_moved, rename
from edgert_converters.tflite.schema import DTYPES

if TYPE_CHECKING:
    from edgert_converters.ops.spec import ReferenceRule, TfliteWriter
    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = [
    "read_broadcast_to",
    "read_cast",
    "read_fill",
    "read_range",
    "read_shape",
    "read_tile",
    "write_cast",
    "write_constant",
    "write_expand",
    "write_range",
    "write_shape",
    "write_tile",
]

_INT64 = 7
_CODES = {dtype: code for code, dtype in DTYPES.items()}


def read_shape(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Shape, its sizes in TFLite's axis order."""
    placed = graph.read(operator.inputs[0])
    value = graph.add("Shape", [placed.value])
    if placed.order != identity(len(placed.order)):
        value = graph.add("Gather", [value, graph.ints(invert(placed.order))], {"axis": 0})
    graph.finish(operator, graph.add("Cast", [value], {"to": _type_of(operator, graph)}))


def _type_of(operator: TfOperator, graph: ImportGraph) -> int:
    dtype = graph.tensor(operator.outputs[0]).dtype
    if dtype is None:
        raise graph.error(operator, "its output is a resource handle")
    return int(ir.DataType[dtype.name])


def read_cast(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Cast.

    Raises:
        ModelError: a tensor carries a scale: its integers stand for real numbers.
    """
    if any(graph.tensor(index).quant is not None for index in (operator.inputs[0], operator.outputs[0])):
        raise graph.error(operator, "of a tensor with a scale; edgert reads the real numbers, not the stored integers")
    placed = graph.read(operator.inputs[0])
    graph.finish(operator, graph.add("Cast", [placed.value], {"to": _type_of(operator, graph)}), placed.order)


def read_range(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Range."""
    graph.finish(operator, graph.add("Range", [graph.plain(index) for index in operator.inputs]))


def read_fill(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds an Expand of the value."""
    graph.finish(operator, graph.add("Expand", [graph.plain(operator.inputs[1]), _sizes(operator.inputs[0], graph)]))


def read_broadcast_to(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds an Expand."""
    graph.finish(operator, graph.add("Expand", [graph.plain(operator.inputs[0]), _sizes(operator.inputs[1], graph)]))


def _sizes(index: int, graph: ImportGraph) -> ir.Value:
    found = graph.constant(index)
    return graph.ints(list(found)) if found is not None else graph.add("Cast", [graph.plain(index)], {"to": _INT64})


def read_tile(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Tile in the order of its input."""
    placed, repeats = graph.read(operator.inputs[0]), graph.required(operator, 1)
    value = graph.add("Tile", [placed.value, graph.ints(permuted(repeats, placed.order))])
    graph.finish(operator, value, placed.order)


def write_cast(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a CAST; between the integers that one type of the file stands for, nothing."""
    stored = graph.read(node, 0)
    source = graph.made(stored.index).dtype or DType.FLOAT
    target = DType(ir.DataType(get_int(graph.describe(node), "to", 1)).name.lower())
    target = DType.INT32 if target is DType.INT64 else target
    if source is target:
        graph.place(node.outputs[0], stored.index, stored.order)
        return
    for dtype in (source, target):
        if dtype not in _CODES:
            raise graph.unsupported(node, f"TFLite has no element type {dtype.value}")
    result = graph.tensor(node.outputs[0], stored.order)
    graph.emit("CAST", [stored.index], [result], in_data_type=_CODES[source], out_data_type=_CODES[target])


def write_constant(reference: ReferenceRule, otherwise: TfliteWriter | None = None) -> TfliteWriter:
    """Returns the hook of an operator whose result is known at once where its inputs are constants."""

    def write(node: ir.Node, graph: ExportGraph) -> None:
        """Writes the result as a constant, else as `otherwise` does."""
        arrays = [graph.constant(value) for value in node.inputs]
        if all(array is not None for array in arrays):
            (result,) = reference(graph.describe(node), arrays)
            index = graph.constant_tensor(str(node.outputs[0].name), result)
            graph.place(node.outputs[0], index, identity(result.ndim))
        elif otherwise is not None:
            otherwise(node, graph)
        else:
            raise graph.unsupported(node, "its inputs depend on the model's data")

    return write


def write_range(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a RANGE."""
    inputs = [graph.plain(node, position) for position in range(3)]
    graph.emit("RANGE", inputs, [graph.tensor(node.outputs[0])])


def write_shape(node: ir.Node, graph: ExportGraph) -> None:
    """Writes the sizes as a constant, or a SHAPE and a STRIDED_SLICE where the batch may vary."""
    spec, shape = graph.describe(node), graph.shape(node.inputs[0])
    part = slice(get_int(spec, "start", 0), get_int(spec, "end", len(shape)))
    if not graph.dynamic_batch:
        index = graph.constant_tensor(str(node.outputs[0].name), np.asarray(shape[part], np.int64))
        graph.place(node.outputs[0], index, (0,))
        return
    source, result = graph.plain(node, 0), graph.tensor(node.outputs[0])
    if shape[part] == shape:
        graph.emit("SHAPE", [source], [result], out_type=_CODES[DType.INT32])
        return
    whole = graph.scratch(f"{node.name}_shape", (len(shape),), DType.INT32)
    graph.emit("SHAPE", [source], [whole], out_type=_CODES[DType.INT32])
    start, stop, step = part.indices(len(shape))
    bounds = [
        graph.constant_tensor(name, np.asarray([number], np.int32))
        for name, number in (("begin", start), ("end", stop), ("strides", step))
    ]
    masks = dict.fromkeys(("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask"), 0)
    graph.emit("STRIDED_SLICE", [whole, *bounds], [result], **masks)


def write_tile(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a TILE in the order of its input."""
    repeats = graph.constant(node.inputs[1])
    if repeats is None:
        raise graph.unsupported(node, "its repeats depend on the model's data")
    stored = read_moved(node, graph)
    counts = permuted([int(count) for count in repeats.reshape(-1)], stored.order)
    _tile(node, graph, stored.index, stored.order, counts)


def _tile(node: ir.Node, graph: ExportGraph, index: int, order: tuple[int, ...], counts: tuple[int, ...]) -> None:
    if all(count == 1 for count in counts):
        rename(node, graph, index, order)
    else:
        move(node, graph, "TILE", [index, graph.constant_tensor("repeats", np.asarray(counts, np.int32))], order)


def write_expand(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a TILE where the rank stays, which leaves the batch free, else a BROADCAST_TO."""
    stored = read_moved(node, graph)
    shape, target = graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
    if len(shape) == len(target):
        counts = [after // before for before, after in zip(shape, target, strict=True)]
        _tile(node, graph, stored.index, stored.order, permuted(counts, stored.order))
        return
    sizes = graph.constant_tensor("shape", np.asarray(target, np.int32))
    move(node, graph, "BROADCAST_TO", [graph.plain(node, 0), sizes], identity(len(target)))
