"""One ONNX node written as several TFLite operators on floats (or int32), where TFLite has no operator of its own.

A quantized node computes in float between DEQUANTIZE and QUANTIZE. Nothing here writes a custom or flex operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgert.dtypes import DType
from edgert_converters.tflite.layout import Order, identity

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.ops.spec import Array, Node
    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.model import OptionValue

__all__ = ["BOOLEAN_RESULTS", "Formula"]

BOOLEAN_RESULTS = frozenset({"EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"})
"""Operators that give booleans."""


class Formula:
    """Writes the operators of one node; every method that takes or gives `int` speaks of tensors."""

    def __init__(self, node: ir.Node, graph: ExportGraph) -> None:
        """Starts with no operator; an integer unit is made to compute in float."""
        graph.compute_in_float(node)
        self.node = node
        self.graph = graph

    @property
    def spec(self) -> Node:
        """The operator table's view of the node."""
        return self.graph.describe(self.node)

    def shape(self, index: int) -> tuple[int, ...]:
        """Returns the shape of a tensor as it lies."""
        return self.graph.made(index).shape

    def dtype(self, index: int) -> DType:
        """Returns the element type of a tensor."""
        return self.graph.made(index).dtype or DType.FLOAT

    def number(self, value: float, like: int) -> int:
        """Adds a scalar constant of the element type of tensor `like`."""
        kind = self.dtype(like).numpy
        return self.graph.constant_tensor(f"{self._name}_const", np.asarray(value, kind))

    def numbers(self, values: Array | Sequence[int]) -> int:
        """Adds a constant; integers become int32."""
        return self.graph.constant_tensor(f"{self._name}_const", np.asarray(values))

    def apply(
        self,
        operator: str,
        *inputs: int,
        shape: Sequence[int] | None = None,
        dtype: DType | None = None,
        **options: OptionValue,
    ) -> int:
        """Adds an operator and returns its output.

        Args:
            operator: name in the schema.
            inputs: tensors.
            shape: of the output; None: that of the inputs broadcast together.
            dtype: of the output; None: that of the last input, bool for comparisons.
            options: of the operator.
        """
        target = self._shape(inputs) if shape is None else tuple(shape)
        kind = DType.BOOL if operator in BOOLEAN_RESULTS else self.dtype(inputs[-1])
        output = self.graph.scratch(f"{self._name}_{operator.lower()}", target, dtype or kind)
        self.graph.emit(operator, inputs, [output], 1, **options)
        return output

    def finish(self, index: int, order: Order | None = None, output: int = 0) -> None:
        """Makes a tensor, stored in `order` (of ONNX's axes), an output of the node."""
        place = identity(len(self.shape(index))) if order is None else order
        self.graph.place(self.node.outputs[output], index, place)

    def broadcast(self, index: int, shape: Sequence[int]) -> int:
        """Adds a BROADCAST_TO where the tensor has another shape."""
        if self.shape(index) == tuple(shape):
            return index
        return self.apply("BROADCAST_TO", index, self.numbers(tuple(shape)), shape=shape, dtype=self.dtype(index))

    def reshaped(self, index: int, shape: Sequence[int]) -> int:
        """Adds a RESHAPE."""
        sizes = self.graph.batched_shape(shape)
        target = self.graph.constant_tensor("shape", np.asarray(sizes, np.int32))
        return self.apply("RESHAPE", index, target, shape=shape, dtype=self.dtype(index), new_shape=sizes)

    def transposed(self, index: int, perm: Order) -> int:
        """Adds a TRANSPOSE, or returns the tensor itself where `perm` changes nothing."""
        if perm == identity(len(perm)):
            return index
        shape = tuple(self.shape(index)[axis] for axis in perm)
        return self.apply("TRANSPOSE", index, self.numbers(perm), shape=shape, dtype=self.dtype(index))

    def reduced(self, operator: str, index: int, axes: Sequence[int]) -> int:
        """Adds a reduction that keeps its axes as size 1."""
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(self.shape(index)))
        return self.apply(
            operator, index, self.numbers(tuple(axes)), shape=shape, dtype=self.dtype(index), keep_dims=True
        )

    def cast(self, index: int, dtype: DType) -> int:
        """Adds a CAST where the tensor has another type."""
        found = self.dtype(index)
        if found is dtype:
            return index
        codes = {DType.FLOAT: 0, DType.INT32: 2, DType.INT64: 4, DType.BOOL: 6}
        if found not in codes:
            return self.apply("CAST", index, dtype=dtype)
        return self.apply("CAST", index, dtype=dtype, in_data_type=codes[found], out_data_type=codes[dtype])

    def _shape(self, inputs: Sequence[int]) -> tuple[int, ...]:
        return np.broadcast_shapes(*(self.shape(index) for index in inputs))

    @property
    def _name(self) -> str:
        return str(self.node.outputs[0].name)
