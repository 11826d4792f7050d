"""Hand-made bundles: one small model, relu(x @ W + b), in float, quantized inside, and quantized at its borders."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgert.bundle import SCHEMA, Manifest, Source, TensorSpec, Variant, write_bundle
from edgert.dtypes import DType
from edgert.quant import QuantParams

X_QUANT = QuantParams((1 / 64,), (128,), DType.UINT8)
Y_QUANT = QuantParams((1 / 32,), (0,), DType.UINT8)
WEIGHT = np.linspace(-0.5, 0.5, 12, dtype=np.float32).reshape(4, 3)
BIAS = np.array([0.25, 0.0, 0.5], np.float32)
X = TensorSpec("x", (None, 4), DType.FLOAT)
Y = TensorSpec("y", (None, 3), DType.FLOAT)


def reference(x: np.ndarray) -> np.ndarray:
    return np.maximum(x @ WEIGHT + BIAS, 0)


def onnx_model(
    nodes: list[NodeProto], inputs: dict[str, tuple[int, list[int | str]]], outputs: dict[str, tuple[int, list]]
) -> ModelProto:
    constants = {
        "w": WEIGHT,
        "b": BIAS,
        "sx": np.float32(X_QUANT.scale[0]),
        "zx": np.uint8(X_QUANT.zero_point[0]),
        "sy": np.float32(Y_QUANT.scale[0]),
        "zy": np.uint8(Y_QUANT.zero_point[0]),
    }
    used = {name for node in nodes for name in node.input}
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items() if k in used]
    graph = helper.make_graph(
        nodes,
        "example",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def float_model(batch: int | str = "N") -> bytes:
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["g"], "gemm"), helper.make_node("Relu", ["g"], ["y"], "relu")]
    shapes = {"x": (TensorProto.FLOAT, [batch, 4])}, {"y": (TensorProto.FLOAT, [batch, 3])}
    return bytes(onnx_model(nodes, *shapes).SerializeToString())


def qdq_model() -> bytes:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"]),
        helper.make_node("Gemm", ["xd", "w", "b"], ["g"]),
        helper.make_node("Relu", ["g"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "sy", "zy"], ["rq"]),
        helper.make_node("DequantizeLinear", ["rq", "sy", "zy"], ["y"]),
    ]
    shapes = {"x": (TensorProto.FLOAT, ["N", 4])}, {"y": (TensorProto.FLOAT, ["N", 3])}
    return bytes(onnx_model(nodes, *shapes).SerializeToString())


def integer_model() -> bytes:
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "sx", "zx"], ["xd"]),
        helper.make_node("Gemm", ["xd", "w", "b"], ["g"]),
        helper.make_node("Relu", ["g"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "sy", "zy"], ["y"]),
    ]
    shapes = {"x": (TensorProto.UINT8, ["N", 4])}, {"y": (TensorProto.UINT8, ["N", 3])}
    return bytes(onnx_model(nodes, *shapes).SerializeToString())


def two_input_model() -> bytes:
    """left + right, each float[1, 2], with outputs sum and difference."""
    nodes = [
        helper.make_node("Add", ["left", "right"], ["sum"]),
        helper.make_node("Sub", ["left", "right"], ["difference"]),
    ]
    one = (TensorProto.FLOAT, [1, 2])
    model = onnx_model(nodes, {"left": one, "right": one}, {"sum": one, "difference": one})
    return bytes(model.SerializeToString())


def variant(variant_id: str, inputs: TensorSpec = X, outputs: TensorSpec = Y, precision: str = "fp32") -> Variant:
    return Variant(variant_id, "onnx", precision, f"variants/{variant_id}/model.onnx", (inputs,), (outputs,), (), 28)


def variants() -> tuple[Variant, ...]:
    with_quant = dataclasses.replace(X, quant=X_QUANT), dataclasses.replace(Y, quant=Y_QUANT)
    integers = tuple(dataclasses.replace(spec, dtype=DType.UINT8) for spec in with_quant)
    return (
        variant("onnx-fp32"),
        variant("onnx-int8", *with_quant, precision="int8"),
        variant("onnx-io8", *integers, precision="int8"),
    )


def manifest(**changes: object) -> Manifest:
    plain = Manifest(
        SCHEMA, "example", "0.1.0", Source("example.onnx", "onnx", "0" * 64), (X,), (Y,), variants(), "onnx-fp32"
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def files() -> dict[str, bytes]:
    models = float_model(), qdq_model(), integer_model()
    return {v.path: data for v, data in zip(variants(), models, strict=True)}


def write(folder: Path, **changes: object) -> Path:
    return write_bundle(folder / "example.edge", manifest(**changes), files())
