"""Cuts one integer unit out of a QDQ graph, and counts the steps between integer tensors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from edgert_converters.ops.spec import Array
from edgert_converters.units import IntegerUnit, dequantizer_of

__all__ = ["cut_unit", "steps_between"]

_INTERNAL_IR_VERSION = 10


def cut_unit(model: ir.Model, unit: IntegerUnit, known: Mapping[str, Array]) -> ir.Model:
    """Returns a model of one unit: graph inputs and outputs are its integers, with the shapes they have in `known`."""
    names = _activation_names(unit)
    graph = ir.convenience.extract(model.graph, names, [str(node.outputs[0].name) for node in unit.quantize])
    for value in graph.inputs:
        array = known[str(value.name)]
        value.dtype = ir.DataType.from_numpy(array.dtype)
        value.shape = ir.Shape(array.shape)
    for value in graph.outputs:
        value.dtype = ir.DataType.from_numpy(known[str(value.name)].dtype)
        value.shape = None
    graph.name = unit.name
    return ir.Model(graph, ir_version=model.ir_version or _INTERNAL_IR_VERSION)


def steps_between(found: Array, expected: Array) -> tuple[int, int]:
    """Returns the largest difference of two integer tensors of one shape and how many values differ.

    Raises:
        ValueError: the shapes or types differ.
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise ValueError(f"{found.dtype}{found.shape} cannot be compared with {expected.dtype}{expected.shape}")
    gap = np.abs(found.astype(np.int64) - expected.astype(np.int64))
    return int(gap.max(initial=0)), int(np.count_nonzero(gap))


def _activation_names(unit: IntegerUnit) -> list[str]:
    """Returns the names of the integer values, in order and once each, that a unit reads and that are no constants."""
    names: dict[str, None] = {}
    for value in unit.node.inputs:
        node = dequantizer_of(value) if value is not None else None
        source = node.inputs[0] if node is not None else value
        if source is not None and source.const_value is None:
            names[str(source.name)] = None
    return list(names)
