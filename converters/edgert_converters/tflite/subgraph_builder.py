"""A TFLite subgraph under construction: tensors, operators, and the moves that only rearrange what a tensor holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.ops.spec import Array
from edgert_converters.tflite.layout import Order, compose, identity, invert, moves_no_data, permuted
from edgert_converters.tflite.model import OptionValue, TfOperator, TfSubgraph, TfTensor

__all__ = ["Stored", "SubgraphBuilder"]

_INDEX = np.int32  # TFLite's index inputs are int32


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor that holds an ONNX value: its axis k is the value's axis `order[k]`."""

    index: int
    order: Order


class SubgraphBuilder:
    """Adds tensors and operators; knows shapes for batch 1 and whether the batch may vary."""

    def __init__(self, *, dynamic_batch: bool) -> None:
        """Starts an empty graph; `dynamic_batch`: tensors whose leading size is 1 say that it may vary."""
        self.dynamic_batch = dynamic_batch
        self._tensors: list[TfTensor] = []
        self._operators: list[TfOperator] = []
        self._moved: dict[tuple[int, Order], int] = {}
        self._unshaped: dict[int, int] = {}
        self._names: set[str] = set()
        self.inputs: list[int] = []
        self.outputs: list[int] = []

    def made(self, index: int) -> TfTensor:
        """Returns the description of a tensor of this graph."""
        return self._tensors[index]

    def emit(
        self, operator: str, inputs: Sequence[int], outputs: Sequence[int], version: int = 1, **options: OptionValue
    ) -> None:
        """Adds an operator; its final version is set by `operator_version` where that is higher.

        A RESHAPE of what was reshaped already reads the tensor that was there first.
        """
        if operator == "RESHAPE":
            origin = self._unshaped.get(inputs[0], inputs[0])
            self._unshaped[outputs[0]] = origin
            inputs = [origin, *inputs[1:]]
        self._operators.append(TfOperator(operator, tuple(inputs), tuple(outputs), options, version))

    def constant_tensor(
        self, name: str, array: Array, order: Order | None = None, params: QuantParams | None = None
    ) -> int:
        """Adds a constant, transposed by `order`; `params` are those of `array` as given. Indices become int32."""
        if order is not None and order != identity(array.ndim):
            array = np.transpose(array, order)
            if params is not None and params.axis is not None:
                params = QuantParams(params.scale, params.zero_point, params.dtype, order.index(params.axis))
        if array.dtype == np.int64 and params is None:
            array = np.clip(array, np.iinfo(_INDEX).min, np.iinfo(_INDEX).max).astype(_INDEX)
        dtype = DType.from_numpy(array.dtype)
        return self.add_tensor(TfTensor(name, array.shape, dtype, np.ascontiguousarray(array), params))

    def scratch(self, name: str, shape: Sequence[int], dtype: DType, params: QuantParams | None = None) -> int:
        """Adds a tensor between two operators of one ONNX node."""
        return self.add_tensor(TfTensor(name, tuple(shape), dtype, None, params))

    def like(self, index: int, name: str, shape: Sequence[int]) -> int:
        """Adds a tensor of another shape between two operators of one ONNX node, otherwise as tensor `index`."""
        return self.add_tensor(replace(self._tensors[index], name=name, shape=tuple(shape), data=None))

    def as_plane(self, index: int) -> int:
        """Adds a tensor [N, 1, L, C] like tensor `index`, [N, L, C]: what an operator over planes makes of a line."""
        made = self._tensors[index]
        n, length, channels = made.shape
        return self.add_tensor(replace(made, name=f"{made.name}_plane", shape=(n, 1, length, channels)))

    def add_tensor(self, tensor: TfTensor) -> int:
        """Adds a tensor under its name, numbered where that is taken, and returns its index."""
        name, number = tensor.name, 1
        while name in self._names:
            name, number = f"{tensor.name}_{number}", number + 1
        self._names.add(name)
        self._tensors.append(replace(tensor, name=name))
        return len(self._tensors) - 1

    def padded(self, index: int, pads: Sequence[tuple[int, int]]) -> int:
        """Adds a PAD by zeros (an integer tensor's zero point), `pads` per axis of the tensor; returns its output."""
        source = self._tensors[index]
        shape = tuple(size + before + after for size, (before, after) in zip(source.shape, pads, strict=True))
        target = self.like(index, f"{source.name}_padded", shape)
        amounts = self.constant_tensor("pads", np.asarray(pads, np.int32))
        self.emit("PAD", [index, amounts], [target])
        return target

    def reshape(self, source: int, target: int) -> None:
        """Adds a RESHAPE from one tensor to another."""
        shape = self.batched_shape(self._tensors[target].shape)
        sizes = self.constant_tensor("shape", np.asarray(shape, np.int32))
        self.emit("RESHAPE", [source, sizes], [target], new_shape=shape)

    def reshaped(self, index: int, shape: Sequence[int]) -> int:
        """Returns a tensor with the data of tensor `index` in `shape` (for batch 1).

        The tensor that it was reshaped from serves where it has that shape already; else a RESHAPE is added.
        """
        origin = self._unshaped.get(index, index)
        if self._tensors[origin].shape == tuple(shape):
            return origin
        target = self.like(index, f"{self._tensors[index].name}_reshaped", shape)
        self.reshape(index, target)
        return target

    def moved(self, stored: Stored, order: Order) -> int:
        """Returns a tensor that holds the same value with its axes in `order`, transposed where that moves data."""
        if stored.order == order:
            return stored.index
        key = (stored.index, order)
        if key not in self._moved:
            source = self._tensors[stored.index]
            step = compose(invert(stored.order), order)
            shape = permuted(source.shape, step)
            if moves_no_data(source.shape, step):
                self._moved[key] = self.reshaped(stored.index, shape)
            else:
                self._moved[key] = self.like(stored.index, f"{source.name}_moved", shape)
                perm = self.constant_tensor("perm", np.asarray(step, np.int32))
                self.emit("TRANSPOSE", [stored.index, perm], [self._moved[key]])
        return self._moved[key]

    def batched_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Returns the target of a RESHAPE: -1 for the leading axis where the batch may vary."""
        return (-1, *shape[1:]) if self.dynamic_batch and shape and shape[0] == 1 else tuple(shape)

    def subgraph(self, name: str) -> TfSubgraph:
        """Returns the finished graph; operators whose results nobody reads are left out."""
        needed = set(self.outputs)
        kept: list[TfOperator] = []
        for operator in reversed(self._operators):
            if needed.intersection(operator.outputs):
                needed.update(operator.inputs)
                kept.append(operator)
        tensors = tuple(self._with_signature(tensor) for tensor in self._tensors)
        return TfSubgraph(tensors, tuple(reversed(kept)), tuple(self.inputs), tuple(self.outputs), name)

    def _with_signature(self, tensor: TfTensor) -> TfTensor:
        if not self.dynamic_batch or tensor.data is not None or not tensor.shape or tensor.shape[0] != 1:
            return tensor
        return replace(tensor, signature=(-1, *tensor.shape[1:]))
