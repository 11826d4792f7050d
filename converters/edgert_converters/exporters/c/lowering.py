"""From the TFLite form of a model to a network of kernel calls.

The TFLite form is already what C wants: channels-last, one operator per integer unit, activations fused. Every operator
name has one rule in `kernels`; an operator without one, or one whose rule refuses, is an error that names the node.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert_converters.exporters.c.core import Core
from edgert_converters.exporters.c.network import Buffer, Call, Constant, Layer, Network, Rows, View
from edgert_converters.exporters.c.operator_reader import OperatorReader
from edgert_converters.exporters.c.states import with_states
from edgert_converters.requantize import Requantize
from edgert_converters.tflite.model import TfOperator, TfSubgraph, TfTensor
from edgert_converters.tflite.state import StateBinding

__all__ = ["Lowering"]

_WORD_BYTES = 4
_C_TYPES = {
    DType.BOOL: "uint8_t",
    DType.FLOAT: "float",
    DType.INT8: "int8_t",
    DType.INT16: "int16_t",
    DType.INT32: "int32_t",
    DType.UINT8: "uint8_t",
}


class Lowering(OperatorReader):
    """A network under construction: what the rules ask, and the layers that they add."""

    def __init__(self, name: str, graph: TfSubgraph, mode: Requantize, core: Core) -> None:
        """Starts with one buffer per input."""
        super().__init__(graph, mode)
        self.name = name
        self.core = core
        self._buffers: list[Buffer] = []
        self._layers: list[Layer] = []
        self._homes: dict[int, View] = {}
        self._constants: dict[tuple[str, str, str, bytes], Constant] = {}
        for index in graph.inputs:
            self._homes[index] = self.add_buffer(graph.tensors[index])

    def add_buffer(self, tensor: TfTensor) -> View:
        """Adds a buffer for a tensor; a leading batch axis of 1 is dropped."""
        if tensor.dtype is None:
            raise AssertionError(f"{tensor.name!r} has no type")
        shape = tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
        self._buffers.append(Buffer(tensor.name, shape, tensor.dtype, tensor.quant))
        return View(len(self._buffers) - 1)

    def alias(self, operator: TfOperator, *, read: int = 0, output: int = 0, offset_bytes: int = 0) -> None:
        """Gives an output the memory of input `read`, from a byte on: nothing moves."""
        home = self._home(operator, operator.inputs[read])
        self._homes[operator.outputs[output]] = View(home.buffer, home.offset_bytes + offset_bytes)

    def add_output(
        self, operator: TfOperator, call: Call, *, read: int = 0, output: int = 0, offset_bytes: int = 0
    ) -> None:
        """Adds a layer that makes one of several outputs from input `read`, from a byte of it on."""
        tensor = self.result(operator, output)
        home = self._home(operator, operator.inputs[read])
        source = View(home.buffer, home.offset_bytes + offset_bytes)
        self._homes[operator.outputs[output]] = target = self.add_buffer(tensor)
        self._layers.append(Layer(tensor.name, operator.name, (source,), (target,), call))

    def add_step(
        self, operator: TfOperator, call: Call, *, source: View | None = None, result: TfTensor | None = None
    ) -> View:
        """Adds one of several layers in a row; returns what it makes.

        Args:
            operator: what they compute together.
            call: the kernel.
            source: what it reads; None: input 0 of the operator.
            result: what it makes; None: the output of the operator.
        """
        read = self._home(operator, operator.inputs[0]) if source is None else source
        tensor = self.result(operator) if result is None else result
        target = self.add_buffer(tensor)
        if result is None:
            self._homes[operator.outputs[0]] = target
        self._layers.append(Layer(tensor.name, operator.name, (read,), (target,), self._shared(call)))
        return target

    def add_part(self, operator: TfOperator, call: Call, *, read: int, target: View, name: str) -> None:
        """Adds a layer that writes a part of the output, whose memory `target` lies in, from input `read`."""
        source = self._home(operator, operator.inputs[read])
        self._homes[operator.outputs[0]] = View(target.buffer)
        self._layers.append(Layer(name, operator.name, (source,), (target,), call))

    def add(
        self,
        operator: TfOperator,
        call: Call,
        *,
        reads: Sequence[int] = (0,),
        overwrites: Sequence[int] = (),
        rows: Rows | None = None,
        macs: int = 0,
        note: str = "",
        is_sample: bool = False,
    ) -> None:
        """Adds the layer of an operator.

        Args:
            operator: what becomes a layer.
            call: the kernel.
            reads: positions of its computed inputs.
            overwrites: those among `reads` in whose memory it may compute.
            rows: how it may be cut into strips; where given, the call is about one sample.
            macs: per sample.
            note: for a comment in C.
            is_sample: the call is about one sample of a batch; it is made for each.
        """
        call = self._shared(call)
        if (is_sample or rows is not None) and self.result(operator).shape[0] > 1:
            self._add_samples(operator, call, macs, note)
            return
        views = tuple(self._home(operator, operator.inputs[position]) for position in reads)
        writes = []
        for index in operator.outputs:
            self._homes[index] = self.add_buffer(self.graph.tensors[index])
            writes.append(self._homes[index])
        name = self.result(operator).name
        layer = Layer(name, operator.name, views, tuple(writes), call, frozenset(overwrites), rows, macs, note)
        self._layers.append(layer)

    def finish(self, inputs: Sequence[str], outputs: Sequence[str], bindings: Sequence[StateBinding]) -> Network:
        """Returns the network: outputs that are views of something else, or stand twice, are copied.

        Args:
            inputs: the model's names of the graph's inputs, in order.
            outputs: of its outputs.
            bindings: which of them are state, which the arena keeps.
        """
        given = dict(zip(inputs, (self._homes[index].buffer for index in self.graph.inputs), strict=True))
        states = {binding.output for binding in bindings}
        taken = set(given.values())
        made: dict[str, View] = {}
        for name, index in zip(outputs, self.graph.outputs, strict=True):
            home = self._homes.get(index)
            if home is None:
                raise ModelError(f"the output {self.graph.tensors[index].name!r} is a constant")
            if home.buffer in taken or (home.offset_bytes and name not in states):
                home = self._copy(index, home)
            if name not in states:
                taken.add(home.buffer)
            made[name] = home
        results = tuple(view.buffer for name, view in made.items() if name not in states)
        plain = Network(self.name, tuple(self._buffers), tuple(self._layers), tuple(given.values()), results)
        return with_states(plain, given, made, bindings)

    def _copy(self, index: int, home: View) -> View:
        tensor = self.graph.tensors[index]
        target = self.add_buffer(tensor)
        self._add_copy(tensor.name, home, target, self._buffers[target.buffer].size_bytes)
        return target

    def _add_copy(self, name: str, source: View, target: View, size_bytes: int) -> None:
        call = Call("copy", "move", {"bytes": size_bytes})
        self._layers.append(Layer(name, "COPY", (source,), (target,), call))

    def _add_samples(self, operator: TfOperator, call: Call, macs: int, note: str) -> None:
        """Adds a call per sample of input 0; a sample at an odd place goes through a buffer of its own."""
        x, y = self.tensor(operator, 0), self.result(operator)
        home, target = self._home(operator, operator.inputs[0]), self.add_buffer(y)
        self._homes[operator.outputs[0]] = target
        for n in range(y.shape[0]):
            read, write = _sample(x, home, n), _sample(y, target, n)
            name = f"{y.name} sample {n}"
            if read.offset_bytes % _WORD_BYTES:
                read, whole = self.add_buffer(replace(x, shape=(1, *x.shape[1:]))), read
                self._add_copy(f"{name} in", whole, read, whole.size_bytes or 0)
            place = write
            if write.offset_bytes % _WORD_BYTES:
                write = self.add_buffer(replace(y, shape=(1, *y.shape[1:])))
            self._layers.append(Layer(name, operator.name, (read,), (write,), call, macs=macs, note=note))
            if place is not write:
                self._add_copy(f"{name} out", write, place, place.size_bytes or 0)

    def _home(self, operator: TfOperator, index: int) -> View:
        """Returns where a tensor lies; a constant is copied to the arena before it is first read."""
        home = self._homes.get(index)
        if home is None:
            home = self._homes[index] = self._materialize(operator, self.graph.tensors[index])
        return home

    def _materialize(self, operator: TfOperator, tensor: TfTensor) -> View:
        kind = None if tensor.dtype is None else _C_TYPES.get(tensor.dtype)
        if tensor.data is None or kind is None or not tensor.data.size:
            raise self.refusal(operator, f"its input {tensor.name!r} is a constant of {tensor.dtype}")
        target = self.add_buffer(tensor)
        values = np.ascontiguousarray(tensor.data).reshape(-1)
        values = values.astype(np.uint8) if values.dtype == np.bool_ else values
        size = self._buffers[target.buffer].size_bytes
        call = Call("constant", "move", {"bytes": size}, {}, (Constant("entries", kind, values, str(tensor.shape)),))
        self._layers.append(Layer(tensor.name, "CONSTANT", (), (target,), self._shared(call)))
        return target

    def _shared(self, call: Call) -> Call:
        """Returns the call with constants that another layer has already: flash holds them once."""
        constants = []
        for constant in call.constants:
            key = (constant.name, constant.c_type, constant.values.dtype.str, constant.values.tobytes())
            constants.append(self._constants.setdefault(key, constant))
        return replace(call, constants=tuple(constants))


def _sample(tensor: TfTensor, home: View, number: int) -> View:
    """Sample `number` of a batch of tensors that lie one behind another."""
    size = math.prod(tensor.shape[1:]) * (tensor.dtype or DType.FLOAT).itemsize_bytes
    return View(home.buffer, home.offset_bytes + number * size, size)
