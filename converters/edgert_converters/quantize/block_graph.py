"""Puts block-wise weights into a graph: MatMulNBits for matrix products, GatherBlockQuantized for embeddings.

Both are operators of ONNX Runtime, not of ONNX. The standard's DequantizeLinear with blocks needs opset 21, and ONNX
Runtime 1.20 to 1.23 multiplies out the whole float matrix for int8 there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgert.errors import ModelError
from edgert_converters.ops import OPERATORS
from edgert_converters.quantize.block_weights import quantize_blocks
from edgert_converters.quantize.insert import add_initializer
from edgert_converters.quantize.scheme import Scheme
from edgert_converters.quantize.weight_only import LEAST_WEIGHTS
from edgert_converters.quantize.weighted import WEIGHTED, int_attribute

__all__ = ["BlockModel", "quantize_matrices"]

DOMAIN = "com.microsoft"
_NEWEST_NEEDED, _FIRST = "1.23.0", "1.17.0"
"""Releases of ONNX Runtime, found by running files: 8 bits and tables of uint8 since 1.23, 4-bit products in 1.17."""


@dataclass(frozen=True, slots=True)
class BlockModel:
    """A graph with weights in blocks: by operator how many have them, and why others have not.

    `onnxruntime` is the oldest release that runs it.
    """

    model: ir.Model
    counts: dict[str, int]
    refused: dict[str, str]
    onnxruntime: str

    @property
    def note(self) -> str:
        """One line for the report."""
        held = ", ".join(f"{count} {op}" for op, count in sorted(self.counts.items()))
        left = "; ".join(
            f"{_stay(count)} float: {why}" for why, count in sorted(Counter(self.refused.values()).items())
        )
        return f"weights in blocks: {held}{f'; {left}' if left else ''}"


def quantize_matrices(model: ir.Model, scheme: Scheme) -> BlockModel:
    """Returns a copy with the weights of matrix products and embeddings in blocks; activations stay float.

    Args:
        model: a clean float graph; not changed.
        scheme: 4 or 8 bits, and the block.

    Raises:
        ModelError: nothing in the model can have such weights; says what to do instead.
    """
    copy = model.clone()
    counts: Counter[str] = Counter()
    refused: dict[str, str] = {}
    for node in list(copy.graph):
        if node.domain not in {"", "ai.onnx"} or node.op_type not in {*WEIGHTED, "Gather"}:
            continue
        reason = _refusal(node, scheme)
        if reason is None:
            counts[node.op_type] += 1
            _replace(copy.graph, node, scheme)
        elif node.op_type in WEIGHTED:
            refused[str(node.name)] = reason
    if not counts:
        why = next(iter(refused.values()), "it has neither matrix products nor embeddings with constant weights")
        raise ModelError(
            f"no operator can have weights in blocks of {scheme.block}: {why}; take --precision int8, or int8x4 for "
            "convolutions with 4-bit weights"
        )
    copy.graph.opset_imports[DOMAIN] = 1
    copy.opset_imports[DOMAIN] = 1
    RemoveUnusedNodesPass()(copy)
    newest = scheme.weight_bits == 8 or counts["Gather"] > 0
    return BlockModel(copy, dict(counts), refused, _NEWEST_NEEDED if newest else _FIRST)


def _refusal(node: ir.Node, scheme: Scheme) -> str | None:
    index = 0 if node.op_type == "Gather" else 1
    weight = node.inputs[index] if len(node.inputs) > index else None
    if node.op_type not in {"MatMul", "Gemm", "Gather"}:
        return f"{node.op_type} has no form with weights in blocks"
    if weight is None or weight.const_value is None or weight.dtype is not ir.DataType.FLOAT:
        return "their weights are not constant"
    if len(weight.const_value.shape) != 2:
        return "their weights are no matrix"
    if weight.const_value.size < LEAST_WEIGHTS:
        return f"they have fewer than {LEAST_WEIGHTS} weights"
    if node.op_type == "Gather":
        return _table_refusal(node, weight, scheme)
    if node.op_type == "Gemm" and int_attribute(node, "transA", 0):
        return "their first factor is transposed"
    length = _matrix(node, weight).shape[1]
    return None if scheme.block is None or length >= scheme.block else f"their rows are shorter than {scheme.block}"


def _table_refusal(node: ir.Node, weight: ir.Value, scheme: Scheme) -> str | None:
    if int_attribute(node, "axis", 0) != 0:
        return "rows are gathered along another axis"
    length = _matrix(node, weight).shape[1]
    whole = scheme.block is not None and length % scheme.block == 0
    return None if whole else f"rows of {length} are no whole number of blocks"


def _matrix(node: ir.Node, weight: ir.Value) -> NDArray[np.float32]:
    """The weights as float32[N, K], Gemm's alpha multiplied in."""
    if weight.const_value is None:
        raise AssertionError(f"{node.name!r} was taken without constant weights")
    values = weight.const_value.numpy().astype(np.float32)
    if node.op_type == "Gather":
        return values
    values = values * np.float32(node.attributes.get_float("alpha", 1.0))
    return values if node.op_type == "Gemm" and int_attribute(node, "transB", 0) else values.T


def _replace(graph: ir.Graph, node: ir.Node, scheme: Scheme) -> None:
    x, weight = (node.inputs[1], node.inputs[0]) if node.op_type == "Gather" else (node.inputs[0], node.inputs[1])
    if x is None or weight is None or scheme.block is None:
        raise AssertionError(f"{node.name!r} was taken without its inputs")
    blocks = quantize_blocks(_matrix(node, weight), scheme.weight_bits, scheme.block)
    name = f"{node.name}.weight"
    common = {"bits": scheme.weight_bits, "block_size": scheme.block}
    if node.op_type == "Gather":
        packed = add_initializer(graph, f"{name}__q", blocks.packed.reshape(len(blocks.codes), -1))
        scales = add_initializer(graph, f"{name}__scale", blocks.scales)
        attributes = {**common, "gather_axis": 0, "quantize_axis": 1}
        made = _add(graph, node, "GatherBlockQuantized", [packed, x, scales], attributes)
    else:
        packed = add_initializer(graph, f"{name}__q", blocks.packed)
        scales = add_initializer(graph, f"{name}__scale", blocks.scales.reshape(-1))  # 1.17 wants one axis
        attributes = {**common, "K": blocks.length, "N": len(blocks.codes), "accuracy_level": 1}
        made = _add(graph, node, "MatMulNBits", [x, packed, scales], attributes)
    _take_over(graph, node, made)


def _add(
    graph: ir.Graph, before: ir.Node, op_type: str, inputs: Sequence[ir.Value], attributes: dict[str, int]
) -> ir.Node:
    node = ir.node(op_type, inputs, attributes, domain=OPERATORS[op_type].domain, name=before.name)
    graph.insert_before(before, node)
    return node


def _take_over(graph: ir.Graph, node: ir.Node, made: ir.Node) -> None:
    """Puts `made` in the place of `node`; a Gemm's bias is added behind it."""
    old, new = node.outputs[0], made.outputs[0]
    bias = node.inputs[2] if node.op_type == "Gemm" and len(node.inputs) > 2 else None
    if bias is not None:
        new.name, new.type, new.shape = f"{old.name}__product", old.type, old.shape
        addend = _scaled(graph, node, bias)
        total = ir.node("Add", [new, addend], name=f"{node.name}.bias")
        graph.insert_before(node, total)
        new = total.outputs[0]
    name, new.type, new.shape = old.name, old.type, old.shape
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    new.name = name


def _scaled(graph: ir.Graph, node: ir.Node, bias: ir.Value) -> ir.Value:
    beta = np.float32(node.attributes.get_float("beta", 1.0))
    if beta == 1.0:
        return bias
    if bias.const_value is not None:
        return add_initializer(graph, f"{node.name}.bias__scaled", np.asarray(bias.const_value.numpy() * beta))
    factor = add_initializer(graph, f"{node.name}.beta__factor", np.asarray(beta))
    product = ir.node("Mul", [bias, factor], name=f"{node.name}.beta")
    product.outputs[0].name = f"{node.name}.beta__product"
    graph.insert_before(node, product)
    return product.outputs[0]


def _stay(count: int) -> str:
    return "1 operator stays" if count == 1 else f"{count} operators stay"
