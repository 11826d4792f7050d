"""Builds the graph of one block node by node: He-initialised weights from one seed, and the branches to judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgert_converters.ops.spec import Array

OPSET, IR_VERSION = 20, 9
OUTLIER_CHANNEL, OUTLIER_SCALE = 5, 20.0

Floats = NDArray[np.float32]
Inputs = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Fixture:
    """One block and what feeds it.

    `build` gives the model, whose outputs named in `branches` are judged (a residual sum is no branch). `sample` makes
    the inputs of one seed; `channel_axis` is the axis of input `x` whose channel 5 the outlier variant scales by 20.
    """

    name: str
    build: Callable[[], onnx.ModelProto]
    sample: Callable[[int], Inputs]
    branches: tuple[str, ...] = ("branch",)
    channel_axis: int = 1

    def inputs(self, seed: int, *, outlier: bool) -> Inputs:
        """The inputs of one seed, as they are or with the outlier channel."""
        given = dict(self.sample(seed))
        if outlier:
            x = np.array(given["x"])
            index = [slice(None)] * x.ndim
            index[self.channel_axis] = slice(OUTLIER_CHANNEL, OUTLIER_CHANNEL + 1)
            x[tuple(index)] *= np.float32(OUTLIER_SCALE)
            given["x"] = x
        return given


class Block:
    """A graph under construction; every method adds nodes and returns the name of what they make."""

    def __init__(self, name: str, seed: int, inputs: Mapping[str, Sequence[int]], indices: Sequence[str] = ()) -> None:
        """Starts a graph whose inputs are float32, those named in `indices` int64."""
        self.name = name
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        kinds = {port: onnx.TensorProto.INT64 if port in indices else onnx.TensorProto.FLOAT for port in inputs}
        self.inputs = [helper.make_tensor_value_info(n, kinds[n], list(shape)) for n, shape in inputs.items()]

    def op(self, op_type: str, *inputs: str | Array, outputs: int = 1, name: str = "", **attributes: object) -> str:
        """Adds one node; arrays become constants. Returns its first output (`many` gives all)."""
        return next(self.many(op_type, *inputs, outputs=outputs, name=name, **attributes))

    def many(
        self, op_type: str, *inputs: str | Array, outputs: int = 1, name: str = "", **attributes: object
    ) -> Iterator[str]:
        """Adds one node and gives the names of its outputs, the first being `name` where it has one."""
        label = f"{op_type}_{len(self.nodes)}"
        made = [name or label, *(f"{label}_{i}" for i in range(1, outputs))]
        sources = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(helper.make_node(op_type, sources, made, name=label, **attributes))
        return iter(made)

    def constant(self, array: Array) -> str:
        """Adds a constant."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array).copy(), name))
        return name

    def he(self, *shape: int, fan_in: int) -> Floats:
        """He-initialised weights (He, Zhang, Ren and Sun, Delving deep into rectifiers, 2015, arXiv:1502.01852)."""
        return (self.rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)).astype(np.float32)

    def vector(self, size: int, mean: float = 0.0, std: float = 0.1) -> Floats:
        """A bias, or with mean 1 a gain."""
        return (mean + std * self.rng.standard_normal(size)).astype(np.float32)

    def conv(
        self, x: str, c_in: int, c_out: int, kernel: int = 1, group: int = 1, stride: int = 1, name: str = ""
    ) -> str:
        """Adds a convolution with bias and "same" padding."""
        per_group = c_in // group
        weight = self.he(c_out, per_group, kernel, kernel, fan_in=per_group * kernel * kernel)
        pads = [kernel // 2] * 4
        strides = [stride, stride]
        return self.op("Conv", x, weight, self.vector(c_out), group=group, pads=pads, strides=strides, name=name)

    def linear(self, x: str, c_in: int, c_out: int, name: str = "") -> str:
        """Adds MatMul and Add, as exporters write a linear layer of more than two axes."""
        product = self.op("MatMul", x, self.he(c_in, c_out, fan_in=c_in))
        return self.op("Add", product, self.vector(c_out), name=name)

    def layer_norm(self, x: str, channels: int) -> str:
        """Adds LayerNormalization over the last axis, gains around 1."""
        return self.op("LayerNormalization", x, self.vector(channels, 1.0), self.vector(channels), axis=-1)

    def batch_norm(self, x: str, channels: int) -> str:
        """Adds BatchNormalization with statistics spread over channels as training leaves them."""
        variance = np.exp(self.rng.normal(0.7, 0.5, channels)).astype(np.float32)
        gain, bias = self.vector(channels, 1.0, 0.2), self.vector(channels, 0.0, 0.3)
        return self.op("BatchNormalization", x, gain, bias, self.vector(channels, 0.0, 0.3), variance)

    def silu(self, x: str) -> str:
        """Adds x * sigmoid(x) as exporters write it."""
        return self.op("Mul", x, self.op("Sigmoid", x))

    def gelu_erf(self, x: str) -> str:
        """Adds GELU out of Erf, as exporters write it before opset 20."""
        inner = self.op("Erf", self.op("Div", x, np.float32(np.sqrt(2.0))))
        return self.op("Mul", self.op("Mul", x, self.op("Add", inner, np.float32(1.0))), np.float32(0.5))

    def finish(self, outputs: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
        """The checked model."""
        made = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, list(shape)) for n, shape in outputs.items()]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, made, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model
