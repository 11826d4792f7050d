"""A network in which a pass of ones adds up all paths: absolute weights, no bias, nothing that bends or bounds."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["SCALE", "path_model"]

Model = Any  # Any: onnx.ModelProto of an untyped package

SCALE = "edgert_scale"
"""Input that every weight is multiplied by."""

_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_LINEAR = {
    *("Relu", "Clip", "LeakyRelu", "PRelu", "HardSwish", "Elu", "Selu", "Celu", "Gelu", "Mish", "Swish", "Softplus"),
    *("Sigmoid", "HardSigmoid", "Tanh", "ThresholdedRelu", "Softmax", "LogSoftmax", "Neg", "Abs", "Dropout"),
    *("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization"),
    *("MeanVarianceNormalization", "LpNormalization", "LRN"),
}
"""Become the identity: activations and normalizations, which Tanaka et al. and Abdelfattah et al. leave out, too."""
_GATES = {"Sigmoid", "HardSigmoid", "Softmax"}


def path_model(model: Model) -> Model:
    """Returns the network of path sums; its second input, SCALE, is a scalar.

    Weights of convolutions and products are absolute and scaled; what is added to or subtracted from a value is 0
    where it is stored, and added where it is computed; gates that multiply stand open. Other operators stay.
    """
    import onnx
    from onnx import helper, numpy_helper

    stored = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    read_by: dict[str, set[str]] = {}
    for node in model.graph.node:
        for name in node.input:
            read_by.setdefault(name, set()).add(node.op_type)
    kept, constants = [], dict(stored)
    for node in model.graph.node:
        if node.op_type in _GATES and read_by.get(node.output[0]) == {"Mul"}:
            kept += _open_gate(node)
        elif node.op_type in _LINEAR:
            kept.append(helper.make_node("Identity", [node.input[0]], [node.output[0]], name=node.name))
        else:
            kept += _positive(node, constants)
    scale = helper.make_tensor_value_info(SCALE, onnx.TensorProto.FLOAT, [])
    inputs = [item for item in model.graph.input if item.name not in stored]
    graph = helper.make_graph(
        kept, "paths", [*inputs, scale], list(model.graph.output),
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)


def _open_gate(node: Any) -> list[Any]:  # Any: onnx.NodeProto
    from onnx import helper, numpy_helper

    shape = f"{node.output[0]}/shape"
    one = numpy_helper.from_array(np.ones(1, np.float32))
    return [
        helper.make_node("Shape", [node.input[0]], [shape]),
        helper.make_node("ConstantOfShape", [shape], [node.output[0]], value=one),
    ]


def _positive(node: Any, constants: dict[str, Any]) -> list[Any]:  # Any: onnx.NodeProto, arrays
    """A node whose stored numbers are made positive (weights) or 0 (what is added), in `constants` under new names."""
    import onnx
    from onnx import helper

    fresh = onnx.NodeProto()
    fresh.CopyFrom(node)
    if node.op_type in {"Add", "Sub"}:
        fresh.op_type = "Add"
    added: list[Any] = []  # Any: onnx.NodeProto
    for place, name in enumerate(node.input):
        if name not in constants or constants[name].dtype != np.float32:
            continue
        own = f"{node.output[0]}/{place}"
        is_bias = node.op_type in {"Add", "Sub"} or (node.op_type in _WEIGHTED and place > 1)
        if is_bias:
            constants[own] = np.zeros_like(constants[name])
        elif node.op_type in _WEIGHTED | {"Mul", "Div"}:
            constants[own] = np.abs(constants[name])
        else:
            continue
        fresh.input[place] = own
        if node.op_type in _WEIGHTED and not is_bias:
            fresh.input[place] = f"{own}/scaled"
            added.append(helper.make_node("Mul", [own, SCALE], [f"{own}/scaled"]))
    return [*added, fresh]
