"""ResNet20 of the zoo's checkpoint as an ONNX file that still holds its BatchNormalization nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch

__all__ = ["export_resnet20"]

_WIDTHS = ((16, 16, 1), (16, 32, 2), (32, 64, 2))
_BLOCKS = 3

Weights = Mapping[str, np.ndarray]


def export_resnet20(checkpoint: Path, target: Path) -> None:
    """Writes the file: input `input` float32[1, 3, 32, 32], output `logits` float32[1, 10]."""
    loaded = torch.load(checkpoint, weights_only=True, map_location="cpu")["state_dict"]
    _Builder({key.removeprefix("module."): value.numpy() for key, value in loaded.items()}).write(target)


class _Builder:
    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._nodes: list[ir.Node] = []
        self._constants: list[ir.Value] = []

    def write(self, target: Path) -> None:
        image = ir.Value(name="input", shape=ir.Shape((1, 3, 32, 32)), type=ir.TensorType(ir.DataType.FLOAT))
        x = self._relu(self._normalised(image, "conv1", "bn1", 1))
        for layer, (before, after, stride) in enumerate(_WIDTHS, start=1):
            for block in range(_BLOCKS):
                first = block == 0
                x = self._block(x, f"layer{layer}.{block}", after - before if first else 0, stride if first else 1)
        pooled = self._add("Flatten", [self._add("GlobalAveragePool", [x])])
        weight, bias = self._constant("linear.weight"), self._constant("linear.bias")
        logits = self._add("Gemm", [pooled, weight, bias], {"transB": 1})
        logits.name, logits.shape = "logits", ir.Shape((1, 10))
        logits.type = ir.TensorType(ir.DataType.FLOAT)
        graph = ir.Graph(
            [image], [logits], nodes=self._nodes, initializers=self._constants, opset_imports={"": 17}, name="resnet20"
        )
        ir.save(ir.Model(graph, ir_version=8), target)

    def _block(self, x: ir.Value, name: str, added: int, stride: int) -> ir.Value:
        inner = self._relu(self._normalised(x, f"{name}.conv1", f"{name}.bn1", stride))
        inner = self._normalised(inner, f"{name}.conv2", f"{name}.bn2", 1)
        if stride != 1:
            picked = [self._numbers(f"{name}.{key}", values) for key, values in _every_second().items()]
            pads = self._numbers(f"{name}.pads", [0, added // 2, 0, 0, 0, added // 2, 0, 0])
            x = self._add("Pad", [self._add("Slice", [x, *picked]), pads])
        return self._relu(self._add("Add", [inner, x]))

    def _normalised(self, x: ir.Value, conv: str, norm: str, stride: int) -> ir.Value:
        shape = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [stride, stride]}
        y = self._add("Conv", [x, self._constant(f"{conv}.weight")], shape)
        statistics = [self._constant(f"{norm}.{key}") for key in ("weight", "bias", "running_mean", "running_var")]
        return self._add("BatchNormalization", [y, *statistics])

    def _relu(self, x: ir.Value) -> ir.Value:
        return self._add("Relu", [x])

    def _add(self, op: str, inputs: list[ir.Value], attributes: Mapping[str, object] | None = None) -> ir.Value:
        node = ir.node(op, inputs, dict(attributes or {}), name=f"node{len(self._nodes)}")  # type: ignore[arg-type]
        node.outputs[0].name = f"value{len(self._nodes)}"
        self._nodes.append(node)
        return node.outputs[0]

    def _constant(self, key: str) -> ir.Value:
        return self._numbers(key, self._weights[key])

    def _numbers(self, name: str, values: object) -> ir.Value:
        tensor = ir.tensor(np.asarray(values), name=name)
        value = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
        self._constants.append(value)
        return value


def _every_second() -> dict[str, list[int]]:
    return {"starts": [0, 0], "ends": [1 << 30, 1 << 30], "axes": [2, 3], "steps": [2, 2]}
