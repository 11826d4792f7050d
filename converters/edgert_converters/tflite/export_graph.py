"""The TFLite graph under construction that the operator table's `to_tflite` hooks add to.

ONNX values become tensors: in a quantized graph the integers between QuantizeLinear and DequantizeLinear, elsewhere the
float values themselves. A tensor may lie in another axis order than its ONNX value (`Stored.order`): convolutions write
channels-last, what follows keeps that, and data moves only where a reader needs another order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams, dequantize
from edgert_converters.ops.nodes import build_node
from edgert_converters.ops.spec import Array, Node
from edgert_converters.tflite.layout import Order, channels_last, identity, permuted
from edgert_converters.tflite.model import TfTensor
from edgert_converters.tflite.subgraph_builder import Stored, SubgraphBuilder
from edgert_converters.units import IntegerUnit, constant_inputs, dequantizer_of, is_standard, static_params

__all__ = ["ExportGraph", "Stored"]

_HYBRID = {"Conv", "Gemm", "MatMul"}  # float operators that TFLite computes with int8 weights
_INT32_CODE, _INT64_CODE = 2, 4  # in the schema's TensorType


class ExportGraph(SubgraphBuilder):
    """Builds one TFLite subgraph from one ONNX graph, node by node in graph order."""

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        units: Sequence[IntegerUnit],
        *,
        dynamic_batch: bool,
        types: Mapping[str, DType] | None = None,
        hybrid: bool = False,
    ) -> None:
        """Starts an empty graph.

        Args:
            shapes: of every value, for batch 1.
            units: the nodes that become integer operators.
            dynamic_batch: the leading axis of inputs may vary; every tensor whose leading axis follows it says so.
            types: of values that do not carry their own.
            hybrid: integer weights of float operators stay integers, where TFLite has kernels for that.
        """
        super().__init__(dynamic_batch=dynamic_batch)
        self._shapes = shapes
        self._types = types or {}
        self._hybrid = hybrid
        self._units = {unit.node: unit for unit in units}
        self._stored: dict[ir.Value, Stored] = {}
        self._reordered: dict[ir.Value, tuple[NDArray[np.int64], int]] = {}
        self.done: set[ir.Node] = {node for unit in units for node in unit.absorbed}

    # what a hook asks

    def describe(self, node: ir.Node) -> Node:
        """Returns the operator table's view of a node: attributes, static shapes, constants."""
        return build_node(node, self._shapes)

    def shape(self, value: ir.Value | None) -> tuple[int, ...]:
        """Returns the static shape of a value in ONNX's axis order, for batch 1."""
        if value is None:
            return ()
        if value.const_value is not None:
            return tuple(int(size) for size in value.const_value.shape.numpy())
        return self._shapes[str(value.name)]

    def constant(self, value: ir.Value | None) -> Array | None:
        """Returns the numbers of a constant (real ones of a quantized constant), or None."""
        if value is None:
            return None
        if value.const_value is not None:
            return self._taken(value)
        integers = self.quantized_constant(value)
        return None if integers is None else dequantize(*integers)

    def quantized_constant(self, value: ir.Value | None) -> tuple[Array, QuantParams] | None:
        """Returns integers and parameters of a constant behind DequantizeLinear, or None."""
        node = None if value is None else dequantizer_of(value)
        source = None if node is None else node.inputs[0]
        if node is None or source is None or source.const_value is None:
            return None
        integers = self._taken(source)
        return integers, static_params(node, integers.ndim)

    def is_own(self, value: ir.Value) -> bool:
        """True for a constant, or a quantized one, that only one node reads."""
        node = dequantizer_of(value)
        source = value if node is None else node.inputs[0]
        return source is not None and len(value.uses()) == 1 and len(source.uses()) == 1

    def take_constant(self, value: ir.Value, indices: NDArray[np.int64], axis: int) -> None:
        """Reorders a constant along one axis for every later reader: entry i becomes what was entry `indices[i]`."""
        node = dequantizer_of(value)
        source = value if node is None else node.inputs[0]
        if source is None:
            raise AssertionError("a DequantizeLinear without input")
        self._reordered[source] = (indices, axis)

    def _taken(self, value: ir.Value) -> Array:
        if value.const_value is None:
            raise AssertionError(f"{value.name!r} is not a constant")
        array = np.asarray(value.const_value.numpy())
        if value not in self._reordered:
            return array
        indices, axis = self._reordered[value]
        return np.take(array, indices, axis=axis)

    def unit(self, node: ir.Node) -> IntegerUnit | None:
        """Returns the integer unit of a node, or None where it computes in float."""
        return self._units.get(node)

    def is_integer(self, node: ir.Node) -> bool:
        """True where the node becomes an integer operator."""
        return node in self._units

    def compute_in_float(self, node: ir.Node) -> None:
        """Makes a node that TFLite has no integer kernel for compute on floats, behind DEQUANTIZE and before QUANTIZE.

        Call it before anything is read; what stood behind the node is then written on its own.
        """
        unit = self._units.pop(node, None)
        if unit is not None:
            self.done.difference_update(unit.absorbed)

    def output_params(self, node: ir.Node, output: int = 0) -> QuantParams | None:
        """Returns the parameters of an integer operator's output, None for a float one."""
        unit = self.unit(node)
        return None if unit is None else static_params(unit.quantize[output])

    def input_params(self, node: ir.Node, index: int) -> QuantParams | None:
        """Returns the parameters of a quantized input of an integer operator, None where it is not quantized."""
        value = node.inputs[index]
        source = None if value is None or not self.is_integer(node) else dequantizer_of(value)
        return None if source is None else static_params(source, len(self.shape(value)))

    def read(self, node: ir.Node, index: int) -> Stored:
        """Returns the tensor of an input as it lies; a constant in ONNX's axis order."""
        value = node.inputs[index]
        if value is None:
            raise AssertionError(f"{node.name!r} reads its absent input {index}")
        return self._source(node, value)

    def ordered(self, node: ir.Node, index: int, order: Order) -> int:
        """Returns the tensor of an input with its axes in `order` (of ONNX's axes), transposed where needed."""
        value = node.inputs[index]
        stays_integer = self.is_integer(node) or (self._hybrid and index == 1 and node.op_type in _HYBRID)
        integers = self.quantized_constant(value) if value is not None and stays_integer else None
        if value is not None and integers is not None:
            return self.constant_tensor(str(value.name), integers[0], order, integers[1])
        array = self.constant(value)
        if value is not None and array is not None:
            return self.constant_tensor(str(value.name), array, order)
        stored = self.read(node, index)
        return self.moved(stored, order)

    def plain(self, node: ir.Node, index: int) -> int:
        """Returns the tensor of an input in ONNX's own axis order."""
        return self.ordered(node, index, identity(len(self.shape(node.inputs[index]))))

    def channels_last(self, node: ir.Node, index: int = 0) -> int:
        """Returns the tensor of an input N, C, spatial... as N, spatial..., C."""
        return self.ordered(node, index, channels_last(len(self.shape(node.inputs[index]))))

    def aligned(self, node: ir.Node, indices: Sequence[int]) -> tuple[list[int], Order]:
        """Returns the operands of an element-wise operator in one common order, and that order.

        The order is that of the largest computed operand of full rank; operands of lower rank get leading axes of
        size 1.
        """
        rank = max(len(self.shape(node.inputs[index])) for index in indices)
        sizes = {index: self.shape(node.inputs[index]) for index in indices}
        full = [i for i, shape in sizes.items() if len(shape) == rank and self.constant(node.inputs[i]) is None]
        largest = max(full, key=lambda index: math.prod(sizes[index]), default=None)
        order = identity(rank) if largest is None else self.read(node, largest).order
        return [self._operand(node, index, order) for index in indices], order

    def activation(self, node: ir.Node) -> tuple[int, ir.Value]:
        """Returns the number of the fused activation behind a node and the ONNX value that the operator then makes.

        The nodes that it stands for are marked as written. For an operator without activation option use
        `result(node)`.
        """
        unit = self.unit(node)
        if unit is not None:
            return self._unit_activation(unit), unit.quantize[0].outputs[0]
        value = node.outputs[0]
        uses = tuple(value.uses())
        if len(uses) == 1 and not value.is_graph_output() and uses[0].idx == 0:
            number = _activation_number([uses[0].node])
            if number is not None and uses[0].node not in self.done:
                self.done.add(uses[0].node)
                return number, uses[0].node.outputs[0]
        return 0, value

    def result(self, node: ir.Node, output: int = 0) -> ir.Value:
        """Returns the ONNX value that an operator without fused activation makes: the integers of an integer unit.

        Raises:
            ModelError: a clamp stands between the operator and its QuantizeLinear.
        """
        unit = self.unit(node)
        if unit is None:
            return node.outputs[output]
        if unit.clamps[output]:
            raise self.unsupported(node, "a clamp behind it has no place in TFLite")
        return unit.quantize[output].outputs[0]

    # what a hook writes

    def tensor(self, value: ir.Value, order: Order | None = None) -> int:
        """Adds the tensor of a computed value, stored in `order`, and remembers it."""
        place = order if order is not None else identity(len(self.shape(value)))
        shape = permuted(self._shapes[str(value.name)], place)
        node = value.producer()
        params = static_params(node) if node is not None and is_standard(node, "QuantizeLinear") else None
        index = self.add_tensor(TfTensor(self._tensor_name(value), shape, self._dtype(value), None, params))
        self._stored[value] = Stored(index, place)
        return index

    def place(self, value: ir.Value, index: int, order: Order) -> None:
        """Makes an existing tensor the home of a value (a Transpose or Identity that moves no data)."""
        self._stored[value] = Stored(index, order)

    def unsupported(self, node: ir.Node, why: str) -> ModelError:
        """Returns an error that names the node."""
        return ModelError(f"{node.op_type} cannot be written as TFLite: {why}", node=node.name)

    # what the exporter calls

    def add_input(self, value: ir.Value, order: Order, params: QuantParams | None) -> None:
        """Adds a graph input stored in `order`; with `params` the tensor holds the integers of its QuantizeLinear."""
        shape = permuted(self._shapes[str(value.name)], order)
        home = value
        dtype = self._dtype(value)
        if params is not None:
            home, dtype = next(use.node.outputs[0] for use in value.uses()), params.dtype
        elif dtype.is_quantized:
            params = _reader_params(value)
        index = self.add_tensor(TfTensor(str(value.name), shape, dtype, None, params))
        self._stored[home] = Stored(index, order)
        self.inputs.append(index)

    def add_output(self, value: ir.Value, *, integers: bool) -> Stored:
        """Makes a value an output: channels-last where it lies so, else in ONNX's order.

        With `integers` it gives the integers behind the value's DequantizeLinear, if any.
        """
        node = dequantizer_of(value)
        source = node.inputs[0] if node is not None and integers else value
        if source is None:
            raise AssertionError("a DequantizeLinear without input")
        stored = self._float(source)
        plain = identity(len(stored.order))
        if stored.order != channels_last(len(plain)):
            stored = Stored(self.moved(stored, plain), plain)
        tensor = self._tensors[stored.index]
        if stored.index in self.inputs or stored.index in self.outputs or tensor.data is not None:
            copy = self.add_tensor(replace(tensor, name=f"{value.name}", data=None))
            self.reshape(stored.index, copy)
            stored = Stored(copy, stored.order)
        if tensor.dtype is DType.INT32 and self._declared(value) is DType.INT64:
            wide = self.add_tensor(replace(tensor, name=f"{value.name}", dtype=DType.INT64, data=None))
            self.emit("CAST", [stored.index], [wide], in_data_type=_INT32_CODE, out_data_type=_INT64_CODE)
            stored = Stored(wide, stored.order)
        self.outputs.append(stored.index)
        return stored

    def quantize(self, node: ir.Node) -> None:
        """Writes a QuantizeLinear that no integer unit absorbs."""
        value, result = node.inputs[0], node.outputs[0]
        if result in self._stored:
            return
        if value is None:
            raise AssertionError("a QuantizeLinear without input")
        stored = self._float(value)
        self.emit("QUANTIZE", [stored.index], [self.tensor(result, stored.order)])

    def homes(self) -> dict[str, Stored]:
        """Returns where every computed value lies, by its ONNX name; of a quantized value the name of its integers."""
        return {str(value.name): stored for value, stored in self._stored.items()}

    # inside

    def _source(self, node: ir.Node, value: ir.Value) -> Stored:
        """The tensor a node reads: integers behind DequantizeLinear for an integer operator, else floats."""
        dequantize_node = dequantizer_of(value) if self.is_integer(node) else None
        if dequantize_node is not None and dequantize_node.inputs[0] is not None:
            integers = self.quantized_constant(value)
            if integers is not None:
                index = self.constant_tensor(str(value.name), integers[0], None, integers[1])
                return Stored(index, identity(integers[0].ndim))
            return self._float(dequantize_node.inputs[0])
        return self._float(value)

    def _float(self, value: ir.Value) -> Stored:
        if value in self._stored:
            return self._stored[value]
        array = self.constant(value)
        if array is not None:
            return Stored(self.constant_tensor(str(value.name), array), identity(array.ndim))
        node = dequantizer_of(value)
        if node is None or node.inputs[0] is None:
            raise ModelError(f"the value {value.name!r} is read before it is made")
        stored = self._float(node.inputs[0])
        self.emit("DEQUANTIZE", [stored.index], [self.tensor(value, stored.order)])
        return self._stored[value]

    def _operand(self, node: ir.Node, index: int, order: Order) -> int:
        value = node.inputs[index]
        shape = self.shape(value)
        missing = len(order) - len(shape)
        if not missing:
            return self.ordered(node, index, order)
        if order == identity(len(order)) or not shape:
            return self.plain(node, index)
        integers = self.quantized_constant(value) if self.is_integer(node) else None
        array = integers[0] if integers is not None else self.constant(value)
        extended = (1,) * missing + shape
        if array is not None and value is not None:
            params = integers[1] if integers is not None else None
            return self.constant_tensor(str(value.name), array.reshape(extended), order, params)
        source = self.plain(node, index)
        tensor = self._tensors[source]
        target = self.add_tensor(replace(tensor, name=f"{tensor.name}_extended", shape=extended, data=None))
        self.reshape(source, target)
        return self.moved(Stored(target, identity(len(order))), order)

    def _unit_activation(self, unit: IntegerUnit) -> int:
        number = _activation_number(unit.clamps[0]) if unit.clamps[0] else 0
        if number is None:
            raise self.unsupported(unit.node, "the clamp behind it is none of RELU, RELU6 and RELU_N1_TO_1")
        return number

    def _tensor_name(self, value: ir.Value) -> str:
        name = str(value.name)
        return name.removesuffix("__q")

    def _dtype(self, value: ir.Value) -> DType:
        node = value.producer()
        if node is not None and is_standard(node, "QuantizeLinear"):
            return static_params(node).dtype
        dtype = self._declared(value)
        return DType.INT32 if dtype is DType.INT64 else dtype

    def _declared(self, value: ir.Value) -> DType:
        """The element type in ONNX; inside the file int64 becomes int32, graph outputs are cast back."""
        if value.dtype is None:
            return self._types.get(str(value.name), DType.FLOAT)
        return DType(value.dtype.name.lower())


def _reader_params(value: ir.Value) -> QuantParams | None:
    """Returns the parameters that the one DequantizeLinear behind an integer input gives its numbers."""
    readers = [use.node for use in value.uses() if is_standard(use.node, "DequantizeLinear")]
    return static_params(readers[0]) if len(readers) == 1 else None


def _activation_number(chain: Sequence[ir.Node]) -> int | None:
    """Returns the activation that a chain of Relu and Clip nodes computes, or None where TFLite has none such."""
    low, high = -np.inf, np.inf
    for node in chain:
        if is_standard(node, "Relu"):
            low = max(low, 0.0)
        elif is_standard(node, "Clip") and all(v is None or v.const_value is not None for v in node.inputs[1:]):
            limits = [None if array is None else float(array) for array in constant_inputs(node)]
            first, last = (*limits, None, None)[:2]
            low = max(low, -np.inf if first is None else first)
            high = min(high, np.inf if last is None else last)
        else:
            return None
    return {(0.0, np.inf): 1, (-1.0, 1.0): 2, (0.0, 6.0): 3}.get((low, high))
