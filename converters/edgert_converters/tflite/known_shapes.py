"""Shapes and small integers of an ONNX graph under construction, for batch 1 and for batch 2.

A .tflite file states shapes for what its converter knew: behind a reshape to a computed shape they are placeholders.
Here they follow from the graph's own inputs, operator by operator, so that shape arithmetic becomes constants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from edgert_converters.ops.nodes import build_node
from edgert_converters.ops.spec import Array

if TYPE_CHECKING:
    import onnx

__all__ = ["KnownShapes", "batched_target"]

_MOST_NUMBERS = 64
_BATCHES = (1, 2)


class KnownShapes:
    """Answers for the values of a graph that only grows."""

    def __init__(self, graph: ir.Graph, opset: int) -> None:
        """Starts with nothing known."""
        self._graph = graph
        self._opset = opset
        self._seen = 0
        self._is_updating = False
        self._types: dict[int, dict[ir.Value, onnx.TypeProto]] = {batch: {} for batch in _BATCHES}

    def shape(self, value: ir.Value, batch: int = 1) -> tuple[int, ...] | None:
        """Returns the shape of a value where it follows from the inputs', else None."""
        if value.const_value is not None:
            return tuple(int(size) for size in value.const_value.shape.numpy())
        self._update()
        found = self._type(value, batch)
        if found is None or not found.tensor_type.HasField("shape"):
            return None
        dims = found.tensor_type.shape.dim
        return tuple(dim.dim_value for dim in dims) if all(dim.HasField("dim_value") for dim in dims) else None

    def numbers(self, value: ir.Value, batch: int = 1) -> Array | None:
        """Returns the numbers of a constant, or of what shapes and constants alone decide; at most 64, else None."""
        if value.const_value is not None:
            return np.asarray(value.const_value.numpy()) if value.const_value.size <= _MOST_NUMBERS else None
        node = value.producer()
        if node is None:
            return None
        if node.op_type == "Shape" and node.inputs[0] is not None:
            shape = self.shape(node.inputs[0], batch)
            return None if shape is None else np.asarray(shape, np.int64)
        return self._compute(node, value, batch)

    def _compute(self, node: ir.Node, value: ir.Value, batch: int) -> Array | None:
        from edgert_converters.ops import OPERATORS  # the table's hooks import this package

        spec = OPERATORS.get(node.op_type)
        shape = self.shape(value, batch)
        if spec is None or shape is None or int(np.prod(shape)) > _MOST_NUMBERS:
            return None
        inputs = [None if source is None else self.numbers(source, batch) for source in node.inputs]
        if any(source is not None and array is None for source, array in zip(node.inputs, inputs, strict=True)):
            return None
        shapes = {
            str(source.name): a.shape for source, a in zip(node.inputs, inputs, strict=True) if source and a is not None
        }
        outputs = {str(output.name): self.shape(output, batch) or () for output in node.outputs}
        described = build_node(node, shapes | outputs, opset=self._opset)
        return np.asarray(spec.reference(described, inputs)[node.outputs.index(value)])

    def _update(self) -> None:
        if self._is_updating:  # a node's inputs are known before it
            return
        self._is_updating = True
        for node in list(self._graph)[self._seen :]:
            self._seen += 1
            for batch in _BATCHES:
                self._infer(node, batch)
        self._is_updating = False

    def _infer(self, node: ir.Node, batch: int) -> None:
        from onnx import checker, defs, helper, numpy_helper, shape_inference

        types, data = {}, {}
        for value in node.inputs:
            if value is None:
                continue
            found = self._type(value, batch)
            if found is None:
                return
            types[str(value.name)] = found
            array = self.numbers(value, batch) if found.tensor_type.elem_type != ir.DataType.FLOAT else None
            if array is not None:
                data[str(value.name)] = numpy_helper.from_array(array, str(value.name))
        proto = ir.to_proto(node)
        try:
            schema = defs.get_schema(node.op_type, self._opset, node.domain)
            results = shape_inference.infer_node_outputs(
                schema, proto, types, data, opset_imports=[helper.make_opsetid("", self._opset)], ir_version=10
            )
        except (
            checker.ValidationError,
            shape_inference.InferenceError,
            defs.SchemaError,
            ValueError,
            RuntimeError,
        ):
            return  # unknown, as where it says nothing
        self._types[batch].update({value: results[str(value.name)] for value in node.outputs if value.name in results})

    def _type(self, value: ir.Value, batch: int) -> onnx.TypeProto | None:
        from onnx import helper

        if value.const_value is not None:
            const = value.const_value
            return helper.make_tensor_type_proto(int(const.dtype), [int(size) for size in const.shape.numpy()])
        if value.producer() is None and value.shape is not None and value.dtype is not None:
            sizes = [size if isinstance(size, int) else batch for size in value.shape]
            return helper.make_tensor_type_proto(int(value.dtype), sizes)
        return self._types[batch].get(value)


def batched_target(
    wanted: tuple[tuple[int, ...], tuple[int, ...]],
    sources: tuple[tuple[int, ...], tuple[int, ...]],
    *,
    dynamic: bool,
) -> tuple[int, ...] | None:
    """Returns a reshape's target with -1 for the axis that grows with the batch, None where it does not fit its source.

    Args:
        wanted: what the model asks for, with batch 1 and batch 2.
        sources: shapes of what it reshapes, likewise.
        dynamic: the batch may vary; otherwise the target is the one for batch 1.
    """
    first, second = _resolved(wanted[0], sources[0]), _resolved(wanted[1], sources[1])
    if first is None or not dynamic:
        return first
    if second is None:  # written for batch 1; any batch goes where it stands in front
        return (-1, *first[1:]) if first[:1] == (1,) and sources[0][:1] == (1,) else first
    grows = [axis for axis, sizes in enumerate(zip(first, second, strict=True)) if sizes[0] != sizes[1]]
    return tuple(-1 if axis in grows[:1] else size for axis, size in enumerate(first))


def _resolved(wanted: Sequence[int], source: Sequence[int]) -> tuple[int, ...] | None:
    """Returns a reshape's target with -1 filled in, or None where it does not fit the source."""
    count, known = math.prod(source), math.prod(size for size in wanted if size != -1)
    if -1 in wanted:
        if tuple(wanted).count(-1) > 1 or known < 1 or count % known:
            return None
        return tuple(count // known if size == -1 else size for size in wanted)
    return tuple(wanted) if known == count else None
