"""How many bytes the values of a graph take for one sample."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx_ir as ir

from edgert_converters.engine import load_runner
from edgert_converters.ops.spec import Array

__all__ = ["value_bytes"]

_UNKNOWN_ITEM_BYTES = 4
_SHAPE_OF = "edgert_shape_of_"


def value_bytes(model: ir.Model, sample: Mapping[str, Array]) -> dict[str, int]:
    """Returns the bytes of every tensor that the nodes of a graph make for one sample, by name.

    Shapes are those of the graph, with its symbolic axes as the sample has them. Where that leaves one open, the graph
    runs once and tells shapes only. Values that are no tensors are left out.

    Args:
        model: not changed.
        sample: every input by name.
    """
    axes = _axes(model, sample)
    values = [v for node in model.graph for v in node.outputs if v.name and isinstance(v.type, ir.TensorType | None)]
    shapes = {str(value.name): _resolved(value, axes) for value in values}
    open_names = [name for name, shape in shapes.items() if shape is None]
    counts = {name: math.prod(shape) for name, shape in shapes.items() if shape is not None}
    if open_names:
        counts |= _measured_counts(model, open_names, sample)
    return {str(v.name): counts[str(v.name)] * _item_bytes(v) for v in values if str(v.name) in counts}


def _item_bytes(value: ir.Value) -> int:
    if value.dtype is None or value.dtype is ir.DataType.STRING:
        return _UNKNOWN_ITEM_BYTES
    return math.ceil(value.dtype.itemsize)


def _axes(model: ir.Model, sample: Mapping[str, Array]) -> dict[str, int]:
    """The size of each axis that the inputs name."""
    axes: dict[str, int] = {}
    for port in model.graph.inputs:
        if port.shape is not None and port.name in sample:
            for axis, size in zip(port.shape, sample[str(port.name)].shape, strict=False):
                if isinstance(axis, ir.SymbolicDim) and axis.value is not None:
                    axes[axis.value] = size
    return axes


def _resolved(value: ir.Value, axes: Mapping[str, int]) -> tuple[int, ...] | None:
    if value.shape is None:
        return None
    sizes = [axis if isinstance(axis, int) else axes.get(axis.value or "", -1) for axis in value.shape]
    return tuple(sizes) if all(size >= 0 for size in sizes) else None


def _measured_counts(model: ir.Model, names: list[str], sample: Mapping[str, Array]) -> dict[str, int]:
    """Runs a copy of the graph whose outputs are shapes, so that the engine frees every tensor as early as it can."""
    copy = model.clone()
    values = {value.name: value for node in copy.graph for value in node.outputs}
    shapes = []
    for name in names:
        node = ir.node("Shape", [values[name]])
        node.outputs[0].name = _SHAPE_OF + name
        node.outputs[0].type = ir.TensorType(ir.DataType.INT64)
        copy.graph.append(node)
        shapes.append(node.outputs[0])
    del copy.graph.outputs[:]
    copy.graph.outputs.extend(shapes)
    found = load_runner(copy, "shapes")(sample)
    return {name: math.prod(int(size) for size in found[_SHAPE_OF + name]) for name in names}
