"""A weighted operator as reader of its input's channels: one matrix per group and kernel position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.quantize.weighted import int_attribute

__all__ = ["Reader", "find_reader", "find_readers", "matrices", "output_axis"]


@dataclass(frozen=True, slots=True)
class Reader:
    """A Conv, Gemm or MatMul with constant weights.

    `axis` is the axis of its input that it sums over, `channels` its size, `group` the groups it falls into.
    """

    node: ir.Node
    axis: int
    channels: int
    group: int = 1

    @property
    def name(self) -> str:
        """The node's name."""
        return str(self.node.name)

    @property
    def value(self) -> ir.Value:
        """The activation that it reads."""
        value = self.node.inputs[0]
        if value is None:
            raise AssertionError(f"{self.name!r} reads nothing")
        return value


def find_readers(model: ir.Model) -> dict[str, Reader]:
    """Returns the readers of a graph by node name."""
    found = (find_reader(node) for node in model.graph)
    return {reader.name: reader for reader in found if reader is not None}


def find_reader(node: ir.Node) -> Reader | None:
    """Returns a node as reader; None: it is no Conv, Gemm or MatMul of an activation with constant weights."""
    if node.op_type not in {"Conv", "Gemm", "MatMul"} or len(node.inputs) < 2:
        return None
    x, weight = node.inputs[0], node.inputs[1]
    if x is None or x.const_value is not None or x.shape is None or weight is None or weight.const_value is None:
        return None
    shape = weight.const_value.shape.numpy()
    if node.op_type == "Conv":
        group = int_attribute(node, "group", 1)
        return Reader(node, 1, shape[1] * group, group)
    if len(shape) != 2 or int_attribute(node, "transA", 0):
        return None
    transposed = node.op_type == "Gemm" and int_attribute(node, "transB", 0)
    return Reader(node, len(x.shape) - 1, shape[1] if transposed else shape[0])


def output_axis(node: ir.Node) -> int:
    """The axis of a reader's output that holds its output channels."""
    if node.op_type == "Conv":
        return 1
    x = node.inputs[0]
    return len(x.shape) - 1 if x is not None and x.shape is not None else 1


def matrices(reader: Reader, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns weights in the operator's own layout as float32[group, M / group, C / group, kernel positions]."""
    if reader.node.op_type == "Conv":
        return weight.reshape(reader.group, -1, reader.channels // reader.group, int(np.prod(weight.shape[2:])))
    transposed = reader.node.op_type == "Gemm" and int_attribute(reader.node, "transB", 0)
    return (weight if transposed else weight.T)[None, :, :, None]
