"""Shapes and types of every value of a graph, and values as an engine sees them that folds Q/DQ into operators."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from edgert.dtypes import DType
from edgert.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx_ir

__all__ = ["View", "behind_dequantize", "typed_shapes"]

_CLAMPS = {"Clip", "Relu"}


def typed_shapes(model: onnx_ir.Model) -> dict[str, tuple[tuple[int, ...], DType]]:
    """Returns shape (for batch 1) and element type of every value of the main graph.

    Raises:
        ModelError, MissingExtraError: as `static_shapes`.
    """
    import onnx_ir
    from onnx_ir.passes import common

    clone = model.clone()
    for value in clone.graph.inputs:
        if value.shape is not None:
            value.shape = onnx_ir.Shape([dim if isinstance(dim, int) else 1 for dim in value.shape])
    for node in clone.graph:
        for value in node.outputs:
            value.shape = None
    common.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(clone)
    values = [*clone.graph.inputs, *clone.graph.initializers.values()]
    values += [value for node in clone.graph for value in node.outputs if value.name]
    found: dict[str, tuple[tuple[int, ...], DType]] = {}
    unknown = []
    for value in values:
        if value.const_value is not None and value.is_initializer():
            found[value.name or ""] = (tuple(value.const_value.shape.numpy()), _dtype(value, value.const_value.dtype))
        elif value.shape is None or not value.shape.is_static() or value.dtype is None:
            unknown.append(value)
        else:
            found[value.name or ""] = (tuple(value.shape.numpy()), _dtype(value, value.dtype))
    return found | _shapes_by_running(clone, unknown, found)


def _dtype(value: onnx_ir.Value, dtype: onnx_ir.DataType) -> DType:
    try:
        return DType(dtype.name.lower())
    except ValueError as error:
        raise ModelError(f"tensor {value.name!r} has the element type {dtype.name}, which is not supported") from error


def _shapes_by_running(
    clone: onnx_ir.Model, unknown: list[onnx_ir.Value], known: Mapping[str, tuple[tuple[int, ...], DType]]
) -> dict[str, tuple[tuple[int, ...], DType]]:
    import onnx_ir

    from edgert_converters.passes.output_check import random_feed, run_model

    if not unknown:
        return {}
    names = [value.name or "" for value in clone.graph.inputs]
    if any(name not in known for name in names):
        raise ModelError(f"an input of {names} has no shape")
    feed = random_feed(names, [known[name][0] for name in names], [known[name][1] for name in names])
    clone.graph.outputs.clear()
    clone.graph.outputs.extend(unknown)
    arrays = run_model(onnx_ir.to_proto(clone).SerializeToString(), feed)
    return {
        value.name or "": (array.shape, DType.from_numpy(array.dtype))
        for value, array in zip(unknown, arrays, strict=True)
    }


@dataclass(frozen=True, slots=True)
class View:
    """Looks at values as an engine that fuses Q/DQ into operators does."""

    typed: dict[str, tuple[tuple[int, ...], DType]]

    def shape(self, value: onnx_ir.Value) -> tuple[int, ...]:
        """Returns the shape for batch 1."""
        return self._typed(value)[0]

    def dtype(self, value: onnx_ir.Value) -> DType:
        """Returns the element type."""
        return self._typed(value)[1]

    def size_bytes(self, value: onnx_ir.Value) -> int:
        """Returns the bytes of the whole tensor."""
        shape, dtype = self._typed(value)
        return dtype.stored_bytes(prod(shape))

    def stored_output(self, value: onnx_ir.Value) -> onnx_ir.Value:
        """Returns the integer tensor that an operator's output is quantized to, else the output itself."""
        readers = [use.node for use in value.uses()]
        if value.is_graph_output() or not readers:
            return value
        if all(reader.op_type == "QuantizeLinear" for reader in readers):
            return readers[0].outputs[0]
        return value

    def result_dtype(self, value: onnx_ir.Value) -> DType:
        """Returns the type an output is stored in; a clamp between operator and QuantizeLinear is looked through."""
        stored = self.stored_output(value)
        readers = [use.node for use in value.uses()]
        if stored is value and len(readers) == 1 and readers[0].op_type in _CLAMPS and not value.is_graph_output():
            through = self.stored_output(readers[0].outputs[0])
            return self.dtype(through) if through is not readers[0].outputs[0] else self.dtype(value)
        return self.dtype(stored)

    def is_quantized(self, node: onnx_ir.Node) -> bool:
        """True where an operator computes in integers: quantized result, and an input that is quantized."""
        if not node.outputs or node.outputs[0].name not in self.typed:
            return False  # inside the body of control flow
        if not self.result_dtype(node.outputs[0]).is_quantized:
            return False
        return node.op_type in _CLAMPS or any(behind_dequantize(value) is not value for value in node.inputs)

    def _typed(self, value: onnx_ir.Value) -> tuple[tuple[int, ...], DType]:
        if value.name not in self.typed:
            raise ModelError(f"the shape of {value.name!r} is not known")
        return self.typed[value.name]


def behind_dequantize(value: onnx_ir.Value | None) -> onnx_ir.Value | None:
    """Returns the integers that a DequantizeLinear makes real, else the value itself."""
    producer = value.producer() if value is not None else None
    return producer.inputs[0] if producer is not None and producer.op_type == "DequantizeLinear" else value
