"""An ONNX graph under construction: nodes, constants, Q/DQ pairs, and names that are given once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.ops.spec import Array

__all__ = ["OnnxBuilder"]

_CLAMPS: dict[str, tuple[float | None, float | None]] = {
    "RELU": (0.0, None),
    "RELU6": (0.0, 6.0),
    "RELU_N1_TO_1": (-1.0, 1.0),
}


class OnnxBuilder:
    """Adds nodes to an empty graph; `graph` is the result."""

    def __init__(self, name: str, opset: int) -> None:
        """Starts an empty graph."""
        self.graph = ir.Graph([], [], nodes=[], opset_imports={"": opset}, name=name)
        self._names: dict[str, int] = {}
        self._held: set[str] = set()

    def add(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        attributes: Mapping[str, Any] | None = None,  # Any: what onnx_ir takes as attribute
        outputs: int = 1,
    ) -> ir.Value:
        """Adds a node and returns its first output; the others are `value.producer().outputs`."""
        clean = {key: value for key, value in (attributes or {}).items() if value is not None}
        node = ir.node(op_type, list(inputs), clean, num_outputs=outputs, name=self.unique(op_type))
        for position, value in enumerate(node.outputs):
            value.name = self.unique(f"{node.name}_{position}")
        self.graph.append(node)
        return node.outputs[0]

    def initializer(self, name: str, array: Array) -> ir.Value:
        """Adds a constant under `name`, made unique."""
        unique = self.unique(name)
        tensor = ir.tensor(np.asarray(array, order="C"), name=unique)  # ascontiguousarray would make scalars 1-D
        value = ir.Value(name=unique, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def ints(self, values: Sequence[int]) -> ir.Value:
        """Adds an int64 constant, for shapes and axes."""
        return self.initializer("const", np.asarray(values, np.int64))

    def dequantized(self, name: str, integers: Array, params: QuantParams) -> ir.Value:
        """Adds an integer constant behind DequantizeLinear and returns the real-valued result."""
        data = self.initializer(f"{name}__q", integers)
        scale, zero_point = self._parameters(name, params)
        attributes = {} if params.axis is None else {"axis": params.axis}
        return self.add("DequantizeLinear", [data, scale, zero_point], attributes)

    def quantized(self, value: ir.Value, name: str, params: QuantParams, *, is_input: bool = False) -> ir.Value:
        """Adds QuantizeLinear and DequantizeLinear behind a value and returns the result, which is called `name`.

        What is quantized gives up its name; an input keeps its own (`is_input`), and the result is called NAME__dq.
        """
        if not is_input:
            value.name = self.unique(f"{name}__float")
        scale, zero_point = self._parameters(name, params)
        quantized = self.add("QuantizeLinear", [value, scale, zero_point])
        quantized.name = self.unique(f"{name}__q")
        quantized.type = ir.TensorType(ir.DataType[params.dtype.name])
        restored = self.add("DequantizeLinear", [quantized, scale, zero_point])
        restored.name = self.unique(f"{name}__dq") if is_input else name
        self._held.add(name)
        return restored

    def activated(self, value: ir.Value, activation: str) -> ir.Value:
        """Returns the value after a fused activation."""
        if activation == "NONE":
            return value
        if activation == "RELU":
            return self.add("Relu", [value])
        if activation in _CLAMPS:
            low, high = _CLAMPS[activation]
            limits = [self.initializer("limit", np.asarray(limit, np.float32)) for limit in (low, high)]
            return self.add("Clip", [value, *limits])
        if activation == "TANH":
            return self.add("Tanh", [value])
        raise ModelError(f"fused activation {activation} is not supported")

    def unique(self, name: str) -> str:
        """Returns `name`, numbered where it is taken, and takes it."""
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return name if not count else self.unique(f"{name}_{count}")

    def rename(self, value: ir.Value, name: str) -> None:
        """Gives a value the name of the tensor it holds, unless another value that holds the same tensor has it."""
        if name not in self._held:
            self._held.add(name)
            value.name = name

    def give_name(self, value: ir.Value, name: str) -> None:
        """Gives an output its name; a value inside the graph that has it gives it up, an input or output does not."""
        taken = [*self.graph.inputs, *self.graph.outputs, *self.graph.initializers.values()]
        if any(other.name == name for other in taken):
            name = self.unique(name)
        for node in self.graph:
            for other in node.outputs:
                if other.name == name and other is not value:
                    other.name = self.unique(f"{name}_inside")
        self._held.add(name)
        self._names.setdefault(name, 1)
        value.name = name

    def _parameters(self, name: str, params: QuantParams) -> tuple[ir.Value, ir.Value]:
        scale = np.asarray(params.scale, np.float32)
        zero_point = np.asarray(params.zero_point, params.dtype.numpy)
        if params.axis is None:
            scale, zero_point = scale.reshape(()), zero_point.reshape(())
        return self.initializer(f"{name}__scale", scale), self.initializer(f"{name}__zero_point", zero_point)
