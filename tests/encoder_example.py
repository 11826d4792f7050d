"""Seeded transformer encoders at real widths, for tests of what computes them in integers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["build_encoder"]


class _Builder:
    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[object] = []
        self.initializers: list[object] = []

    def constant(self, array: NDArray[np.generic]) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, rows: int, columns: int) -> str:
        return self.constant((self.rng.standard_normal((rows, columns)) / np.sqrt(rows)).astype(np.float32))

    def vector(self, size: int, centre: float, spread: float) -> str:
        return self.constant((centre + spread * self.rng.standard_normal(size)).astype(np.float32))

    def add(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"{op}_{name}", **attributes))
        return name

    def dense(self, x: str, rows: int, columns: int) -> str:
        return self.add("Add", self.add("MatMul", x, self.weight(rows, columns)), self.vector(columns, 0, 0.1))

    def norm(self, x: str, width: int) -> str:
        scale, shift = self.vector(width, 1, 0.2), self.vector(width, 0, 0.2)
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=1e-5)

    def attention(self, x: str, length: int, width: int, heads: int) -> str:
        split = self.constant(np.asarray([0, length, heads, width // heads]))
        merge = self.constant(np.asarray([0, length, width]))
        parts = [self.add("Reshape", self.dense(x, width, width), split) for _ in range(3)]
        q, v = (self.add("Transpose", parts[i], perm=[0, 2, 1, 3]) for i in (0, 2))
        k = self.add("Transpose", parts[1], perm=[0, 2, 3, 1])
        root = self.constant(np.asarray(np.sqrt(width / heads), np.float32))
        scores = self.add("Softmax", self.add("Div", self.add("MatMul", q, k), root), axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", scores, v), perm=[0, 2, 1, 3])
        return self.dense(self.add("Reshape", mixed, merge), width, width)


def build_encoder(
    layers: int = 2, width: int = 64, heads: int = 4, length: int = 24, seed: int = 0, vocabulary: int = 0
) -> ir.Model:
    """Returns a pre-norm encoder: x [1, length, width], or token ids [1, length] with an embedding, to [1, width]."""
    b = _Builder(seed)
    x = "x"
    if vocabulary:
        x = b.add("Gather", b.weight(vocabulary, width), "x", axis=0)
    for _ in range(layers):
        x = b.add("Add", x, b.attention(b.norm(x, width), length, width, heads))
        hidden = b.add("Gelu", b.dense(b.norm(x, width), width, 4 * width))
        x = b.add("Add", x, b.dense(hidden, 4 * width, width))
    pooled = b.add("ReduceMean", b.norm(x, width), b.constant(np.asarray([1])), keepdims=0)
    shape = [1, length] if vocabulary else [1, length, width]
    kind = TensorProto.INT64 if vocabulary else TensorProto.FLOAT
    graph = helper.make_graph(
        b.nodes,
        "encoder",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(pooled, TensorProto.FLOAT, [1, width])],
        b.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ir.from_proto(model)
