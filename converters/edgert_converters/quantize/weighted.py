"""Weighted operators (Conv, ConvTranspose, Gemm, MatMul with constant weights) as the quantizer sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.ops import OPERATORS
from edgert_converters.ops.spec import ChannelRule
from edgert_converters.quantize.weights import output_channel_axis

__all__ = ["WEIGHTED", "Weighted", "int_attribute", "read_weighted", "weighted_nodes"]

WEIGHTED = frozenset(op for op, spec in OPERATORS.items() if spec.channels is ChannelRule.PRODUCES)
"""Operators that sum over input channels with constant weights."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """Constants of one weighted operator, Gemm's alpha and beta multiplied in.

    `weight` is float32 in the operator's own layout (see weights.output_channel_axis), `bias` float32[M] or None,
    `axis` the output channel axis of `weight`, None: a batched MatMul operand.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32] | None
    axis: int | None


def read_weighted(node: ir.Node) -> Weighted:
    """Returns the constants of a node whose operator is in `WEIGHTED` and whose weights are constant.

    Raises:
        ValueError: the weights are not constant.
    """
    weight = node.inputs[1]
    if weight is None or weight.const_value is None:
        raise ValueError(f"{node.name!r} has no constant weights")
    values = weight.const_value.numpy().astype(np.float32) * np.float32(node.attributes.get_float("alpha", 1.0))
    bias_value = node.inputs[2] if len(node.inputs) > 2 else None
    bias = None
    if bias_value is not None and bias_value.const_value is not None:
        bias = bias_value.const_value.numpy().astype(np.float32) * np.float32(node.attributes.get_float("beta", 1.0))
    axis = output_channel_axis(node.op_type, values.ndim, bool(int_attribute(node, "transB", 0)))
    return Weighted(values, bias, axis)


def weighted_nodes(model: ir.Model, names: frozenset[str]) -> Iterator[ir.Node]:
    """The weighted nodes among `names`, in graph order."""
    return (node for node in model.graph if node.name in names and node.op_type in WEIGHTED)


def int_attribute(node: ir.Node, name: str, default: int) -> int:
    """Returns an integer attribute."""
    return node.attributes.get_int(name, default)
