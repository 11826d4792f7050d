"""Random small int8 graphs of everything that C has a kernel for, with numbers and the integers they should give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from edgert.dtypes import DType
from edgert.quant import QuantParams, dequantize
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.interpreter import Interpreter
from edgert_converters.ops.spec import Array
from edgert_converters.requantize import Requantize, set_requantize
from edgert_converters.tflite.layout import channels_last
from tests.conformance.q31_models import Operand, Rng, Single, activation, bias, fitted, interpreted, weights
from tests.microcontrollers.single_operators import same_pads

__all__ = ["RandomGraph", "random_graphs"]

_ANY = QuantParams((1.0,), (0,), DType.INT8)
_PROBABILITIES = QuantParams((1 / 256,), (-128,), DType.INT8)
_CLAMPS = (None, None, (0.0, 6.0), (0.0, float("inf")), (-1.0, 1.0))
_LAYERS = 7
_LARGEST = 1500
"""Elements of one activation: the interpreter and the sanitizers take their time."""


@dataclass(frozen=True, slots=True)
class RandomGraph:
    """A QDQ model. `feed` and `expected` are integers as C lays them out, by name and in the order of the outputs."""

    model: ir.Model
    mode: Requantize
    feed: Mapping[str, Array]
    expected: Sequence[Array]
    text: str

    def __repr__(self) -> str:
        return f"<{self.mode.value}: {self.text}>"


@dataclass(slots=True)
class _Builder:
    """A graph that grows by one operator at a time; `values` hold what every operator gives, outputs included."""

    draw: st.DrawFn
    rng: Rng
    mode: Requantize
    values: list[Operand] = field(default_factory=list)
    read: set[int] = field(default_factory=set)
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    inputs: list[ValueInfoProto] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def add_input(self, shape: tuple[int, ...]) -> int:
        """Adds an input of the graph."""
        operand = activation(self.rng, shape)
        name = f"in{len(self.values)}"
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.words.append(f"{name} {shape}")
        return self._finish(name, operand)

    def add(self, single: Single, reads: Sequence[int]) -> int:
        """Adds an operator whose activations are the values `reads`; returns the number of its output."""
        number, left, names = len(self.values), list(reads), []
        for k, operand in enumerate(single.operands):
            names.append(f"v{left.pop(0)}" if operand.is_activation else self._constant(f"w{number}_{k}", operand))
        made = f"made{number}"
        self.nodes.append(helper.make_node(single.op_type, names, [made], **single.attributes))
        if single.clamp is not None:
            limits = [self._constant(f"limit{number}_{k}", _scalar(v)) for k, v in enumerate(single.clamp)]
            self.nodes.append(helper.make_node("Clip", [made, *limits], [f"clamped{number}"]))
            made = f"clamped{number}"
        self.read |= set(reads)
        integers = interpreted(single, self.mode)
        self.words.append(f"v{number} = {single.op_type}{list(reads)} {integers.shape} {dict(single.attributes)}")
        return self._finish(made, Operand(integers, single.output, is_activation=True))

    def finish(self, kept: set[int]) -> RandomGraph:
        """Returns the model; its outputs are what nobody reads and `kept`."""
        ends = sorted((set(range(len(self.values))) - self.read) | kept)
        outputs = [helper.make_tensor_value_info(f"v{n}", TensorProto.FLOAT, self.values[n].values.shape) for n in ends]
        graph = helper.make_graph(self.nodes, "random", self.inputs, outputs, self.constants)
        model: ir.Model = ir.from_proto(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        )
        set_requantize(model, self.mode)
        file = export_tflite(model)
        feed = {item.name: self.values[int(item.name.removeprefix("in"))] for item in self.inputs}
        floats = {name: dequantize(operand.values, operand.params) for name, operand in feed.items() if operand.params}
        found = Interpreter(model).run(floats, keep_quantized=True).quantized
        return RandomGraph(
            model,
            self.mode,
            {spec.name: _as_stored(feed[spec.name].values, spec.layout) for spec in file.inputs},
            [_as_stored(found[f"{spec.name}__q"].values, spec.layout) for spec in file.outputs],
            "; ".join([*self.words, f"outputs {ends}"]),
        )

    def _finish(self, source: str, operand: Operand) -> int:
        number = len(self.values)
        extra = self._parameters(f"v{number}", operand)
        self.nodes.append(helper.make_node("QuantizeLinear", [source, *extra], [f"v{number}__q"]))
        self.nodes.append(helper.make_node("DequantizeLinear", [f"v{number}__q", *extra], [f"v{number}"]))
        self.values.append(operand)
        return number

    def _constant(self, name: str, operand: Operand) -> str:
        if operand.params is None:
            self.constants.append(numpy_helper.from_array(operand.values, name))
            return name
        extra = self._parameters(name, operand)
        self.constants.append(numpy_helper.from_array(operand.values, f"{name}__q"))
        axis: dict[str, Any] = {} if operand.params.axis is None else {"axis": operand.params.axis}
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{name}__q", *extra], [name], **axis))
        return name

    def _parameters(self, name: str, operand: Operand) -> list[str]:
        given = operand.params
        assert given is not None
        scale, zero = np.asarray(given.scale, np.float32), np.asarray(given.zero_point, given.dtype.numpy)
        shape = () if given.axis is None else scale.shape
        self.constants.append(numpy_helper.from_array(scale.reshape(shape), f"{name}_scale"))
        self.constants.append(numpy_helper.from_array(zero.reshape(shape), f"{name}_zero"))
        return [f"{name}_scale", f"{name}_zero"]


@st.composite
def random_graphs(draw: st.DrawFn) -> RandomGraph:
    """Draws a graph: images first, convolutions, branches and the like, then perhaps a matrix and a softmax."""
    mode = draw(st.sampled_from(list(Requantize)))
    builder = _Builder(draw, np.random.default_rng(draw(st.integers(0, 1 << 16))), mode)
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 12))
    last = builder.add_input((1, draw(st.integers(1, 9)), height, width))
    for _ in range(draw(st.integers(1, _LAYERS))):
        reads = last if draw(st.integers(0, 3)) else draw(st.integers(0, len(builder.values) - 1))
        makers = _IMAGE if builder.values[reads].values.ndim == 4 else _ROWS
        last = draw(st.sampled_from(makers))(builder, reads)
    kept = draw(st.sets(st.integers(1, len(builder.values) - 1), max_size=1)) if len(builder.values) > 1 else set()
    return builder.finish(kept if draw(st.integers(0, 3)) == 0 else set())


def _as_stored(values: Array, layout: str | None) -> Array:
    return np.ascontiguousarray(np.transpose(values, channels_last(values.ndim)) if layout else values)


def _scalar(value: float) -> Operand:
    return Operand(np.asarray(value, np.float32))


# one operator each


def _convolution(b: _Builder, reads: int, groups: int, multiplier: int | None = None) -> int:
    """Any window, stride, dilation and padding; `multiplier`: outputs per channel of a depthwise one."""
    x = b.values[reads]
    _, c, rows, columns = x.values.shape
    out = c * multiplier if multiplier else groups * b.draw(st.integers(1, 12 // groups))
    dilations = tuple(b.draw(st.sampled_from([1, 1, 1, 2])) for _ in range(2))
    is_same = b.draw(st.booleans())
    kernel = tuple(
        b.draw(st.integers(1, min(5, n) if is_same else min(5, (n - 1) // d + 1)))
        for n, d in zip((rows, columns), dilations, strict=True)
    )
    strides = tuple(b.draw(st.sampled_from([1, 1, 2, 3])) for _ in range(2)) if not multiplier else None
    strides = strides or (b.draw(st.sampled_from([1, 1, 2])),) * 2
    if max(strides) > 1 and max(dilations) > 1:  # TensorFlow has no such convolution
        dilations = (1, 1)
    pads = [0, 0, 0, 0]
    if is_same:
        pads = same_pads((rows, columns), kernel, strides, dilations)
    elif b.draw(st.integers(0, 2)) == 0:
        pads = [b.draw(st.integers(0, k - 1)) for k in (*kernel, *kernel)]
    attributes = {"pads": pads, "strides": strides, "dilations": dilations, "group": groups}
    w = weights(b.rng, (out, c // groups, *kernel), b.draw(st.sampled_from([0, 0, 0, None])))
    operands = [x, w, bias(b.rng, x, w, out)] if b.draw(st.integers(0, 4)) else [x, w]
    clamp = b.draw(st.sampled_from(_CLAMPS))
    single = Single("Conv", operands, _ANY, (None,) * 4, attributes, clamp)  # type: ignore[arg-type]
    return b.add(fitted(b.rng, single), [reads])


def _conv(b: _Builder, reads: int) -> int:
    return _convolution(b, reads, 1)


def _grouped(b: _Builder, reads: int) -> int:
    c = b.values[reads].values.shape[1]
    return _convolution(b, reads, b.draw(st.sampled_from([g for g in range(1, c + 1) if c % g == 0])))


def _depthwise(b: _Builder, reads: int) -> int:
    c = b.values[reads].values.shape[1]
    return _convolution(b, reads, c, b.draw(st.sampled_from([1, 1, 1, 2])))


def _pointwise(b: _Builder, reads: int) -> int:
    x = b.values[reads]
    out = b.draw(st.integers(1, 17))
    w = weights(b.rng, (out, x.values.shape[1], 1, 1), 0)
    clamp = b.draw(st.sampled_from(_CLAMPS))
    single = Single("Conv", [x, w, bias(b.rng, x, w, out)], _ANY, (None,) * 4, {}, clamp)  # type: ignore[arg-type]
    return b.add(fitted(b.rng, single), [reads])


def _same_shape(b: _Builder, reads: int) -> int:
    """Another value of the same shape, an earlier one or a new one."""
    shape = b.values[reads].values.shape
    others = [n for n, v in enumerate(b.values) if v.values.shape == shape and n != reads]
    is_new = b.draw(st.booleans())
    if others and not is_new:
        return b.draw(st.sampled_from(others))
    if len(shape) == 4 and not is_new:
        x = b.values[reads]
        w = weights(b.rng, (shape[1], shape[1], 3, 3), 0)
        single = Single("Conv", [x, w], _ANY, shape, {"pads": [1, 1, 1, 1]})
        return b.add(fitted(b.rng, single), [reads])
    return b.add_input(shape)


def _pair(b: _Builder, reads: int) -> int:
    other = _same_shape(b, reads)
    op_type = b.draw(st.sampled_from(["Add", "Add", "Mul", "Sub"]))
    clamp = b.draw(st.sampled_from(_CLAMPS))
    x, y = (b.values[n] for n in (reads, other))
    return b.add(fitted(b.rng, Single(op_type, [x, y], _ANY, x.values.shape, {}, clamp)), [reads, other])


def _concat(b: _Builder, reads: int) -> int:
    other = _same_shape(b, reads)
    x, y = (b.values[n] for n in (reads, other))
    if x.values.size + y.values.size > _LARGEST:
        return reads
    shape = (x.values.shape[0], x.values.shape[1] + y.values.shape[1], *x.values.shape[2:])
    return b.add(fitted(b.rng, Single("Concat", [x, y], _ANY, shape, {"axis": 1})), [reads, other])


def _pad(b: _Builder, reads: int) -> int:
    x = b.values[reads]
    if x.values.size > _LARGEST // 2 or x.params is None:
        return reads
    before, after = ([b.draw(st.integers(0, 2)) for _ in range(2)] for _ in range(2))
    around = [0, 0, *before, 0, 0, *after]
    shape = tuple(n + around[k] + around[k + 4] for k, n in enumerate(x.values.shape))
    operands = [x, Operand(np.asarray(around, np.int64))]
    return b.add(Single("Pad", operands, x.params, shape, {"mode": "constant"}), [reads])


def _pool(b: _Builder, reads: int) -> int:
    x = b.values[reads]
    assert x.params is not None
    sizes = x.values.shape[2:]
    op_type = b.draw(st.sampled_from(["MaxPool", "AveragePool"]))
    kernel = tuple(b.draw(st.integers(1, min(4, n))) for n in sizes)
    strides = tuple(b.draw(st.integers(1, 3)) for _ in range(2))
    attributes = {
        "kernel_shape": kernel,
        "strides": strides,
        "pads": same_pads(sizes, kernel, strides) if b.draw(st.booleans()) else [0, 0, 0, 0],
    }
    single = Single(op_type, (x,), x.params, (None,) * 4, attributes)  # type: ignore[arg-type]
    return b.add(single, [reads])


def _mean(b: _Builder, reads: int) -> int:
    x = b.values[reads]
    if b.draw(st.booleans()):
        return b.add(fitted(b.rng, Single("GlobalAveragePool", [x], _ANY, (*x.values.shape[:2], 1, 1))), [reads])
    axes = b.draw(st.sampled_from([(2, 3), (2,), (3,), (1,)]))
    shape = tuple(1 if k in axes else n for k, n in enumerate(x.values.shape))
    single = Single("ReduceMean", [x, Operand(np.asarray(axes, np.int64))], _ANY, shape, {"keepdims": 1})
    return b.add(fitted(b.rng, single), [reads])


def _table(b: _Builder, reads: int) -> int:
    x = b.values[reads]
    op_type = b.draw(st.sampled_from(["Sigmoid", "Tanh", "HardSwish", "LeakyRelu"]))
    output = {"Sigmoid": _PROBABILITIES, "Tanh": QuantParams((1 / 128,), (0,), DType.INT8)}.get(op_type)
    single = Single(op_type, [x], output or _ANY, x.values.shape)
    return b.add(single if output else fitted(b.rng, single), [reads])


def _flatten(b: _Builder, reads: int) -> int:
    x = b.values[reads]
    assert x.params is not None
    return b.add(Single("Flatten", [x], x.params, (1, x.values.size), {"axis": 1}), [reads])


def _matrix(b: _Builder, reads: int) -> int:
    x = b.values[reads]
    out = b.draw(st.integers(1, 17))
    w = weights(b.rng, (out, x.values.shape[1]), b.draw(st.sampled_from([None, 0])))
    clamp = b.draw(st.sampled_from(_CLAMPS))
    single = Single("Gemm", [x, w, bias(b.rng, x, w, out)], _ANY, (1, out), {"transB": 1}, clamp)
    return b.add(fitted(b.rng, single), [reads])


def _softmax(b: _Builder, reads: int) -> int:
    x = b.values[reads]
    return b.add(Single("Softmax", [x], _PROBABILITIES, x.values.shape, {"axis": -1}), [reads])


_IMAGE: tuple[Callable[[_Builder, int], int], ...] = (
    _conv,
    _conv,
    _grouped,
    _depthwise,
    _depthwise,
    _pointwise,
    _pointwise,
    _pair,
    _pair,
    _concat,
    _pad,
    _pool,
    _mean,
    _table,
    _flatten,
)
_ROWS: tuple[Callable[[_Builder, int], int], ...] = (_matrix, _matrix, _pair, _concat, _table, _softmax)
