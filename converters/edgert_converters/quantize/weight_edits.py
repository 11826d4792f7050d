"""Scales channels of weighted operators in a float graph: of what they give, and of what they read.

Only for a graph that the caller owns (a clone). Constants that other nodes share are not touched: the operator gets its
own. Gemm's alpha and beta are multiplied in.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.batch_norm_notes import scale_moments
from edgert_converters.ops.spec import Array
from edgert_converters.passes.graph_edits import add_initializer
from edgert_converters.quantize.weighted import int_attribute, read_weighted

__all__ = ["from_rows", "input_columns", "output_rows", "scale_inputs", "scale_outputs", "write_weighted"]

Floats = NDArray[np.float64]


def scale_outputs(graph: ir.Graph, node: ir.Node, factor: Floats, shift: Floats | float = 0.0) -> None:
    """Makes a node give `factor * y + shift` per output channel, float64[M]; a note on its moments follows.

    Args:
        graph: that holds the node; changed.
        node: Conv, ConvTranspose or Gemm with constant weights; gets a bias where it needs one.
        factor: above 0.
        shift: 0 leaves a node without a bias without one.
    """
    weighted = read_weighted(node)
    rows = output_rows(node, weighted.weight) * factor[:, None]
    bias = None
    if weighted.bias is not None or np.any(shift):
        # a bias of one element stands for all channels
        old = np.zeros(factor.size) if weighted.bias is None else weighted.bias.astype(np.float64)
        bias = np.broadcast_to(old, factor.shape) * factor + shift
    write_weighted(graph, node, from_rows(node, rows, weighted.weight.shape), bias)
    scale_moments(node, factor, shift)


def scale_inputs(graph: ir.Graph, node: ir.Node, factor: Floats) -> None:
    """Multiplies the weights that read input channel c by `factor[c]`, float64[C]: undoes a division of it."""
    weighted = read_weighted(node)
    weight = weighted.weight.astype(np.float64) * input_columns(node, weighted.weight, factor)
    bias = None if weighted.bias is None else weighted.bias.astype(np.float64)
    write_weighted(graph, node, weight, bias)


def output_rows(node: ir.Node, weight: NDArray[np.float32]) -> Floats:
    """Returns the weights as float64[M, K]: all that make one output channel in one row."""
    values = weight.astype(np.float64)
    if node.op_type == "Gemm":
        return values if int_attribute(node, "transB", 0) else np.ascontiguousarray(values.T)
    if node.op_type == "ConvTranspose":
        group = int_attribute(node, "group", 1)
        split = values.reshape(group, values.shape[0] // group, *values.shape[1:])
        return np.asarray(np.moveaxis(split, 2, 1).reshape(group * values.shape[1], -1), np.float64)
    rows: Floats = values.reshape(values.shape[0], -1)
    return rows


def from_rows(node: ir.Node, rows: Floats, shape: tuple[int, ...]) -> Floats:
    """Returns what `output_rows` took apart as weights of the operator's own `shape`."""
    if node.op_type == "Gemm":
        return rows if int_attribute(node, "transB", 0) else rows.T
    if node.op_type == "ConvTranspose":
        group = int_attribute(node, "group", 1)
        split = rows.reshape(group, shape[1], shape[0] // group, *shape[2:])
        return np.moveaxis(split, 1, 2).reshape(shape)
    return rows.reshape(shape)


def input_columns(node: ir.Node, weight: NDArray[np.float32], per_channel: Floats) -> Floats:
    """Returns one number per input channel, float64[C], in a form that broadcasts against the node's weights."""
    rank = weight.ndim
    if node.op_type == "Conv":
        group = int_attribute(node, "group", 1)
        split = per_channel.reshape(group, -1)[np.arange(weight.shape[0]) * group // weight.shape[0]]
        return np.asarray(split.reshape(*weight.shape[:2], *[1] * (rank - 2)), np.float64)
    if node.op_type == "ConvTranspose":
        return per_channel.reshape(-1, *[1] * (rank - 1))
    transposed = node.op_type == "Gemm" and bool(int_attribute(node, "transB", 0))
    return per_channel[None, :] if transposed else per_channel[:, None]


def write_weighted(graph: ir.Graph, node: ir.Node, weight: Array, bias: Array | None) -> None:
    """Gives a node other constants, rounded to float32; unused ones stay in the graph until clean-up."""
    for name in ("alpha", "beta"):
        if name in node.attributes:
            node.attributes[name] = ir.AttrFloat32(name, 1.0)
    base = f"{node.name}/scaled"
    node.replace_input_with(1, add_initializer(graph, f"{base}_weight", weight.astype(np.float32)))
    if bias is not None:
        node.resize_inputs(3)
        node.replace_input_with(2, add_initializer(graph, f"{base}_bias", bias.astype(np.float32)))
