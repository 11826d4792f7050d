"""The ONNX graph under construction that the operator table's `from_tflite` hooks add to.

Every TFLite tensor stands for a real-valued ONNX value: an integer tensor with a scale is a QuantizeLinear ->
DequantizeLinear pair around it, so hooks write float semantics only and integers are kept. Values stay in the axis
order that their producer made (`Placed.order`); data moves only where a reader asks for another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams, dequantize
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.known_shapes import KnownShapes, batched_target
from edgert_converters.tflite.layout import Order, channels_first, compose, identity, invert, moves_no_data, permuted
from edgert_converters.tflite.model import TfOperator, TfSubgraph, TfTensor
from edgert_converters.tflite.onnx_builder import OnnxBuilder
from edgert_converters.tflite.schema import ACTIVATIONS

__all__ = ["ImportGraph", "Placed"]


@dataclass(frozen=True, slots=True)
class Placed:
    """An ONNX value that holds a TFLite tensor: its axis k is the tensor's axis `order[k]`."""

    value: ir.Value
    order: Order


class ImportGraph(OnnxBuilder):
    """Builds one ONNX graph from one TFLite subgraph."""

    def __init__(self, source: TfSubgraph, opset: int, *, dynamic_batch: bool) -> None:
        """Starts an empty graph; `dynamic_batch`: the leading axis of the inputs may vary."""
        super().__init__(source.name or "main", opset)
        self.source = source
        self.dynamic_batch = dynamic_batch
        self._placed: dict[int, Placed] = {}
        self._moved: dict[tuple[int, Order], ir.Value] = {}
        self._known = KnownShapes(self.graph, opset)
        self._tensor_names = {
            index: self.unique(tensor.name or f"t{index}") for index, tensor in enumerate(source.tensors)
        }

    # what a hook reads

    def tensor(self, index: int) -> TfTensor:
        """Returns the description of a tensor."""
        return self.source.tensors[index]

    def name(self, index: int) -> str:
        """Returns the ONNX name of a tensor: its own, made unique."""
        return self._tensor_names[index]

    def constant(self, index: int) -> Array | None:
        """Returns the stored numbers of a tensor (integers of a quantized one), or None where it is computed."""
        return self.tensor(index).data

    def real_constant(self, index: int) -> Array | None:
        """Returns the numbers of a constant tensor as float32 where it is quantized, as stored otherwise."""
        tensor = self.tensor(index)
        if tensor.data is None or tensor.quant is None or not tensor.quant.dtype.is_quantized:
            return tensor.data
        return dequantize(tensor.data, tensor.quant)

    def read(self, index: int) -> Placed:
        """Returns the value of a tensor as it lies."""
        if index not in self._placed:
            tensor = self.tensor(index)
            if tensor.data is None:
                raise ModelError(f"tensor {tensor.name!r} is read before anything computes it; the file is damaged")
            self._placed[index] = Placed(self.weight(index, identity(tensor.data.ndim)), identity(tensor.data.ndim))
        return self._placed[index]

    def ordered(self, index: int, order: Order) -> ir.Value:
        """Returns the value of a tensor with its axes in `order` (of the TFLite axes), transposed where needed."""
        placed = self.read(index)
        if placed.order == order:
            return placed.value
        key = (index, order)
        if key not in self._moved:
            self._moved[key] = self._move(index, placed, order)
        return self._moved[key]

    def plain(self, index: int) -> ir.Value:
        """Returns the value of a tensor in TFLite's own axis order."""
        return self.ordered(index, identity(len(self.tensor(index).shape)))

    def channels_first(self, index: int) -> ir.Value:
        """Returns the value of a tensor N, spatial..., C as N, C, spatial...."""
        return self.ordered(index, channels_first(len(self.tensor(index).shape)))

    def aligned(self, indices: Sequence[int]) -> tuple[list[ir.Value], Order]:
        """Returns the operands of an element-wise operator in one common order, and that order.

        The order is that of the largest computed operand of full rank; constants are stored in it, operands of lower
        rank are extended by leading axes of size 1.
        """
        rank = max(len(self.tensor(index).shape) for index in indices)
        full = [index for index in indices if self.constant(index) is None and len(self.tensor(index).shape) == rank]
        largest = max(full, key=lambda index: math.prod(self.shape(index)), default=None)
        order = identity(rank) if largest is None else self.read(largest).order
        return [self._operand(index, rank, order) for index in indices], order

    def weight(self, index: int, order: Order) -> ir.Value:
        """Returns a constant tensor transposed by `order`: float, or integers behind DequantizeLinear.

        Raises:
            ModelError: the tensor is computed; TFLite allows that, edgert does not.
        """
        tensor = self.tensor(index)
        if tensor.data is None:
            raise ModelError(f"tensor {tensor.name!r} must be a constant here; the model computes it")
        array = np.transpose(tensor.data, order)
        suffix = "" if order == identity(len(order)) else "_" + "".join(map(str, order))
        if tensor.quant is None:
            return self.initializer(f"{self.name(index)}{suffix}", array)
        params = tensor.quant
        if params.axis is not None:
            params = QuantParams(params.scale, params.zero_point, params.dtype, order.index(params.axis))
        return self.dequantized(f"{self.name(index)}{suffix}", array, params)

    def shape(self, index: int) -> tuple[int, ...]:
        """Returns the shape of a tensor in TFLite's axis order, for batch 1.

        It is the file's, but where the file leaves more than the batch open: there it follows from the inputs' shapes.
        """
        tensor = self.tensor(index)
        if tensor.data is None and any(size < 0 for size in (tensor.signature or ())[1:]) and index in self._placed:
            placed = self._placed[index]
            known = self._known.shape(placed.value)
            if known is not None and len(known) == len(placed.order):
                return permuted(known, invert(placed.order))
        return tensor.shape

    def numbers(self, index: int) -> Array | None:
        """Returns the integers of a tensor that is constant or follows from shapes alone, for batch 1; else None."""
        found = self.constant(index)
        return found if found is not None else self._known.numbers(self.plain(index))

    def required(self, operator: TfOperator, position: int) -> tuple[int, ...]:
        """Returns the integers of input `position`, flat.

        Raises:
            ModelError: the model computes them from its data.
        """
        found = self.numbers(operator.inputs[position])
        if found is None:
            name = self.tensor(operator.inputs[position]).name
            raise self.error(operator, f"input {position} ({name!r}) must not depend on the model's data")
        return tuple(int(number) for number in found.reshape(-1))

    def option(self, operator: TfOperator, name: str, default: int = 0) -> int:
        """Returns an option that is a whole number."""
        value = operator.options.get(name, default)
        if not isinstance(value, int):
            raise self.error(operator, f"option {name!r} is not a whole number: {value!r}")
        return value

    def reshape_target(self, operator: TfOperator) -> tuple[int, ...] | None:
        """Returns the shape of a RESHAPE, -1 for the axis that grows with the batch; None where data decides it.

        Raises:
            ModelError: it does not fit the input.
        """
        wanted = [self._wanted_shape(operator, batch) for batch in (1, 2)]
        source = self.read(operator.inputs[0]).value
        shapes = [self._known.shape(source, batch) or self.shape(operator.inputs[0]) for batch in (1, 2)]
        if wanted[0] is None or wanted[1] is None:
            return None
        target = batched_target((wanted[0], wanted[1]), (shapes[0], shapes[1]), dynamic=self.dynamic_batch)
        if target is None:
            raise self.error(operator, f"cannot make the shape {list(wanted[0])} of {list(shapes[0])}")
        return target

    def _wanted_shape(self, operator: TfOperator, batch: int) -> tuple[int, ...] | None:
        option = operator.options.get("new_shape", ())
        if len(operator.inputs) > 1 and operator.inputs[1] != -1:
            found = self._known.numbers(self.plain(operator.inputs[1]), batch)
            return None if found is None else tuple(int(size) for size in found.reshape(-1))
        return tuple(int(size) for size in option) if isinstance(option, tuple) else None

    # what a hook writes

    def kept(self, value: ir.Value, index: int) -> ir.Value:
        """Returns `value`, which holds the numbers of tensor `index` moved, as integers again where it is quantized.

        Whatever reads it then still finds the tensor's integers behind DequantizeLinear.
        """
        params = self.tensor(index).quant
        if params is None or not params.dtype.is_quantized:
            return value
        return self.quantized(value, f"{self.name(index)}_moved", params, is_input=True)

    def finish(
        self,
        operator: TfOperator,
        value: ir.Value,
        order: Order | None = None,
        *,
        output: int = 0,
        activation: str | None = None,
    ) -> None:
        """Makes `value` the operator's output, behind its fused activation and, where quantized, a Q/DQ pair.

        Args:
            operator: whose output it is.
            value: the real-valued result.
            order: its axis k is the tensor's axis `order[k]`; None: TFLite's own order.
            output: which output.
            activation: name of the fused activation; None: what the operator's options say.
        """
        index = operator.outputs[output]
        tensor = self.tensor(index)
        name = activation if activation is not None else self._fused(operator)
        value = self.activated(value, name)
        place = order if order is not None else identity(len(tensor.shape))
        if tensor.quant is not None and tensor.quant.dtype.is_quantized:
            value = self.quantized(value, self.name(index), tensor.quant)
        elif not value.is_graph_input() and not value.is_initializer() and index not in self._placed:
            self.rename(value, self.name(index))
        self._placed[index] = Placed(value, place)

    def place(self, operator: TfOperator, value: ir.Value, order: Order, *, output: int = 0) -> None:
        """Makes a value that stands for another tensor already the operator's output: no data moves."""
        index, source = operator.outputs[output], operator.inputs[0]
        if self.tensor(index).quant == self.tensor(source).quant:
            self._placed[index] = Placed(value, order)
        else:
            self.finish(operator, self.add("Identity", [value]), order, output=output)

    def requantize(self, operator: TfOperator, value: ir.Value, order: Order) -> None:
        """Makes a value in the integers of the operator's output that output; the value keeps its name (QUANTIZE)."""
        index = operator.outputs[0]
        params = self.tensor(index).quant
        if params is None or not params.dtype.is_quantized:
            raise self.error(operator, "its output has no scale; the file is damaged")
        self._placed[index] = Placed(self.quantized(value, self.name(index), params, is_input=True), order)

    def alias(self, operator: TfOperator, source: int) -> None:
        """Makes the operator's output the same value as tensor `source` (DEQUANTIZE, a copy)."""
        self._placed[operator.outputs[0]] = self.read(source)

    def add_input(self, index: int, order: Order | None = None) -> None:
        """Makes a tensor an input of the graph; a quantized one is fed real numbers and quantized at once.

        `order`: its axis k is the tensor's axis `order[k]`; None: TFLite's own order.
        """
        place = order if order is not None else identity(len(self.tensor(index).shape))
        tensor = self.tensor(index)
        quantized = tensor.quant is not None and tensor.quant.dtype.is_quantized
        dtype = DType.FLOAT if quantized else tensor.dtype
        if dtype is None:
            raise ModelError(f"input {tensor.name!r} is a resource handle")
        dims: list[int | str] = list(permuted(self.shape(index), place))
        if self.dynamic_batch and dims:
            dims[0] = "batch"
        kind = ir.TensorType(ir.DataType[dtype.name])
        self._held.add(self.name(index))
        value = ir.Value(name=self.name(index), shape=ir.Shape(dims), type=kind)
        self.graph.inputs.append(value)
        if quantized and tensor.quant is not None:
            value = self.quantized(value, self.name(index), tensor.quant, is_input=True)
        self._placed[index] = Placed(value, place)

    def add_output(self, index: int, name: str, *, as_it_lies: bool = False) -> None:
        """Makes a tensor an output of the graph under `name`, in TFLite's own axis order.

        `as_it_lies`: an image of rank 4 that lies channels-first stays so.
        """
        first = as_it_lies and self.read(index).order == channels_first(4)
        value = self.channels_first(index) if first else self.plain(index)
        if value.is_graph_input() or value.is_initializer() or value.is_graph_output():
            value = self.add("Identity", [value])
        tensor = self.tensor(index)
        quantized = tensor.quant is not None and tensor.quant.dtype.is_quantized
        dtype = DType.FLOAT if quantized else tensor.dtype or DType.FLOAT
        value.type = ir.TensorType(ir.DataType[dtype.name])
        if value.name != name:
            self.give_name(value, name)
        self.graph.outputs.append(value)

    def homes(self) -> dict[str, tuple[int, Order]]:
        """Returns the tensor that each value holds, and its axis order (`Placed.order`), by the value's ONNX name.

        A quantized tensor stands under the name of its integers.
        """
        found: dict[str, tuple[int, Order]] = {}
        for index, placed in self._placed.items():
            if self.tensor(index).data is None:
                node = placed.value.producer()
                restored = node is not None and node.op_type == "DequantizeLinear"
                source = node.inputs[0] if node is not None and restored else placed.value
                found.setdefault(str(source.name) if source is not None else "", (index, placed.order))
        return found

    def error(self, operator: TfOperator, text: str) -> ModelError:
        """Returns an error that names the operator and its first output."""
        output = self.tensor(operator.outputs[0]).name if operator.outputs else ""
        return ModelError(f"{operator.name}: {text}", node=output or operator.name)

    def _fused(self, operator: TfOperator) -> str:
        number = operator.options.get("fused_activation_function", 0)
        if not isinstance(number, int) or not 0 <= number < len(ACTIVATIONS):
            raise self.error(operator, f"fused activation number {number} is not in the schema")
        return ACTIVATIONS[number]

    def _move(self, index: int, placed: Placed, order: Order) -> ir.Value:
        step = compose(invert(placed.order), order)
        # `placed` holds axis order[k] at k, so its axis that is TFLite's axis a lies at invert(order)[a]
        shape = permuted(self.shape(index), placed.order)
        leading = (2, *shape[1:]) if self.dynamic_batch else shape
        if moves_no_data(leading, step) and (not self.dynamic_batch or step[:1] == (0,)):
            target = permuted(shape, step)
            moved = self.add("Reshape", [placed.value, self.ints((-1, *target[1:]) if self.dynamic_batch else target)])
        else:
            moved = self.add("Transpose", [placed.value], {"perm": list(step)})
        return self.kept(moved, index)

    def _operand(self, index: int, rank: int, order: Order) -> ir.Value:
        tensor = self.tensor(index)
        missing = rank - len(tensor.shape)
        if not missing:
            return self.weight(index, order) if tensor.data is not None else self.ordered(index, order)
        if order == identity(rank) or not tensor.shape or all(size == 1 for size in tensor.shape):
            return self.plain(index)
        if tensor.data is None:
            extended = self.add("Unsqueeze", [self.plain(index), self.ints(range(missing))])
            return self.kept(self.add("Transpose", [self.kept(extended, index)], {"perm": list(order)}), index)
        if tensor.quant is not None and tensor.quant.axis is not None:
            raise ModelError(
                f"operand {tensor.name!r} has scales per channel, which element-wise operators do not take"
            )
        array = np.transpose(tensor.data.reshape((1,) * missing + tensor.data.shape), order)
        if tensor.quant is None:
            return self.initializer(self.name(index), array)
        return self.dequantized(self.name(index), array, tensor.quant)
