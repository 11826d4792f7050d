"""Random single-operator int8 graphs, and TensorFlow Lite Micro and the integer interpreter to run them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgert.dtypes import DType
from edgert.quant import QuantParams, dequantize
from edgert_converters.exporters.tflite import export_tflite
from edgert_converters.interpreter import Interpreter
from edgert_converters.requantize import Requantize, set_requantize

Array = NDArray[Any]
Rng = np.random.Generator
ARENA_BYTES = 1 << 20


@dataclass(frozen=True)
class Operand:
    """One input of the operator: an activation (`feed` holds its integers), integer weights, or a plain constant."""

    values: Array
    params: QuantParams | None = None
    is_activation: bool = False


@dataclass(frozen=True)
class Single:
    """One operator with everything around it."""

    op_type: str
    operands: Sequence[Operand]
    output: QuantParams
    shape: tuple[int, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    clamp: tuple[float, float] | None = None

    def model(self, mode: Requantize) -> ir.Model:
        """Returns the QDQ graph, marked with its requantization mode."""
        nodes, inputs, constants, names = [], [], [], []
        for number, operand in enumerate(self.operands):
            name = f"x{number}"
            names.append(name)
            if operand.params is None:
                constants.append(numpy_helper.from_array(operand.values, name))
                continue
            extra = _parameters(name, operand.params, constants)
            if operand.is_activation:
                inputs.append(helper.make_tensor_value_info(f"{name}_in", TensorProto.FLOAT, operand.values.shape))
                nodes.append(helper.make_node("QuantizeLinear", [f"{name}_in", *extra], [f"{name}__q"]))
            else:
                constants.append(numpy_helper.from_array(operand.values, f"{name}__q"))
            axis: dict[str, Any] = {} if operand.params.axis is None else {"axis": operand.params.axis}
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}__q", *extra], [name], **axis))
        nodes.append(helper.make_node(self.op_type, names, ["made"], name="node", **self.attributes))
        last = "made"
        if self.clamp is not None:
            limits = [numpy_helper.from_array(np.asarray(v, np.float32), f"limit{k}") for k, v in enumerate(self.clamp)]
            constants += limits
            nodes.append(helper.make_node("Clip", [last, "limit0", "limit1"], ["clamped"]))
            last = "clamped"
        extra = _parameters("y", self.output, constants)
        nodes.append(helper.make_node("QuantizeLinear", [last, *extra], ["y__q"]))
        nodes.append(helper.make_node("DequantizeLinear", ["y__q", *extra], ["y"]))
        outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, self.shape)]
        graph = helper.make_graph(nodes, "single", inputs, outputs, constants)
        model: ir.Model = ir.from_proto(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
        )
        set_requantize(model, mode)
        return model

    @property
    def activations(self) -> list[tuple[str, Operand]]:
        """The inputs by name."""
        return [(f"x{k}_in", operand) for k, operand in enumerate(self.operands) if operand.is_activation]


def _parameters(name: str, params: QuantParams, constants: list[TensorProto]) -> list[str]:
    scale, zero = np.asarray(params.scale, np.float32), np.asarray(params.zero_point, params.dtype.numpy)
    if params.axis is None:
        scale, zero = scale.reshape(()), zero.reshape(())
    constants.append(numpy_helper.from_array(scale, f"{name}_scale"))
    constants.append(numpy_helper.from_array(zero, f"{name}_zero"))
    return [f"{name}_scale", f"{name}_zero"]


def interpreted(single: Single, mode: Requantize) -> Array:
    """Returns the output's integers of the integer interpreter."""
    feed = {name: dequantize(operand.values, operand.params) for name, operand in single.activations if operand.params}
    found = Interpreter(single.model(mode)).run(feed, keep_quantized=True).quantized["y__q"]
    return found.values


def exported(single: Single, mode: Requantize = Requantize.Q31) -> bytes:
    """Returns the .tflite file that takes and gives integers."""
    return export_tflite(single.model(mode)).data


def stored_inputs(single: Single) -> list[Array]:
    """Returns the integers as the file lays them out: channels last where it says so."""
    file = export_tflite(single.model(Requantize.Q31))
    result = []
    for spec, (_, operand) in zip(file.inputs, single.activations, strict=True):
        values = operand.values
        if spec.layout is not None and spec.layout.endswith("C"):
            values = np.moveaxis(values, 1, -1)
        result.append(np.ascontiguousarray(values))
    return result


def plain_output(single: Single, values: Array) -> Array:
    """Returns an output in ONNX's axis order."""
    file = export_tflite(single.model(Requantize.Q31))
    layout = file.outputs[0].layout
    return np.moveaxis(values, -1, 1) if layout is not None and layout.endswith("C") else values


def run_tflm(data: bytes, inputs: Sequence[Array]) -> Array:
    """Returns the first output of TensorFlow Lite Micro's reference kernels."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(data, arena_size=ARENA_BYTES)
    for index, values in enumerate(inputs):
        interpreter.set_input(values, index)
    interpreter.invoke()
    return np.asarray(interpreter.get_output(0)).copy()


def run_litert(data: bytes, inputs: Sequence[Array], *, reference: bool) -> Array:
    """Returns the first output of LiteRT: its reference kernels, or what it runs by default (XNNPACK)."""
    from ai_edge_litert.interpreter import Interpreter as LiteRt
    from ai_edge_litert.interpreter import OpResolverType

    kind = OpResolverType.BUILTIN_REF if reference else OpResolverType.AUTO
    interpreter = LiteRt(model_content=data, num_threads=1, experimental_op_resolver_type=kind)
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


# what random graphs are made of


def scale(rng: Rng, centre: float = 0.05) -> float:
    """Returns a float32 scale within three decades around `centre`."""
    return float(np.float32(centre * 10 ** rng.uniform(-1.5, 1.5)))


def params(rng: Rng, centre: float = 0.05) -> QuantParams:
    """Returns int8 parameters with any zero point."""
    return QuantParams((scale(rng, centre),), (int(rng.integers(-128, 128)),), DType.INT8)


def integers(rng: Rng, shape: Sequence[int]) -> Array:
    """Returns uniform int8 numbers."""
    return rng.integers(-128, 128, tuple(shape)).astype(np.int8)


def activation(rng: Rng, shape: Sequence[int], given: QuantParams | None = None) -> Operand:
    """Returns an input of the graph."""
    return Operand(integers(rng, shape), given or params(rng), is_activation=True)


def weights(rng: Rng, shape: Sequence[int], axis: int | None) -> Operand:
    """Returns symmetric int8 weights with one scale, or one per index of `axis`."""
    count = 1 if axis is None else shape[axis]
    scales = tuple(scale(rng, 0.01) for _ in range(count))
    values = rng.integers(-127, 128, tuple(shape)).astype(np.int8)
    return Operand(values, QuantParams(scales, (0,) * count, DType.INT8, axis))


def number(value: float) -> Operand:
    """Returns a float32 scalar."""
    return Operand(np.asarray(value, np.float32))


def bias(rng: Rng, x: Operand, w: Operand, size: int) -> Operand:
    """Returns int32 numbers with the scales of the products."""
    assert x.params is not None and w.params is not None
    scales = tuple(float(np.float32(x.params.scale[0]) * np.float32(s)) for s in w.params.scale)
    axis = None if len(scales) == 1 else 0
    return Operand(
        rng.integers(-3000, 3000, size).astype(np.int32), QuantParams(scales, (0,) * len(scales), DType.INT32, axis)
    )


def fitted(rng: Rng, single: Single) -> Single:
    """Returns the operator with an output range that its real output fills to a random share, from a tenth to all."""
    real = real_output(single)
    low, high = min(float(real.min()), 0.0), max(float(real.max()), 0.0)
    share = float(rng.uniform(0.1, 1.2))
    # a clamp may leave nothing but zeros
    step = float(np.float32((high - low) * share / 255)) if high - low > 1e-2 else 0.01
    zero = int(np.clip(round(-128 - low * share / step), -128, 127))
    return replace(single, output=QuantParams((step,), (zero,), DType.INT8))


def real_output(single: Single) -> Array:
    """Returns what the operator and its clamp give before they are quantized."""
    feed = {name: dequantize(operand.values, operand.params) for name, operand in single.activations if operand.params}
    model = single.model(Requantize.FP32)
    for node in list(model.graph):
        if node.op_type == "QuantizeLinear" and node.outputs[0].name == "y__q":
            model.graph.outputs[0] = node.inputs[0]  # type: ignore[assignment]
    value = model.graph.outputs[0]
    assert value is not None
    value.type = ir.TensorType(ir.DataType.FLOAT)
    found = Interpreter(model).run(feed).outputs
    return np.asarray(next(iter(found.values())))


Maker = Callable[[Rng], Single]
