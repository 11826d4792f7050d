"""Folds BatchNormalization in inference form into the Conv, ConvTranspose or Gemm before it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.batch_norm_notes import ChannelMoments, note_moments
from edgert_converters.passes.graph_edits import add_initializer, bypass, constant_array, is_onnx_op, only_consumer

__all__ = ["fold_batch_norm"]

Float64 = NDArray[np.float64]


def fold_batch_norm(model: ir.Model) -> int:
    """Returns how many normalisations were folded; the arithmetic is done in float64 and rounded once to float32.

    Left alone: training mode, statistics that are not constants, a weight that is not a constant (for example behind
    DequantizeLinear), and a result that anybody else reads before the normalisation. What the normalisation knew of its
    output is noted on the node that takes it in (batch_norm_notes.py).
    """
    return sum(_fold(model.graph, node) for node in list(model.graph) if is_onnx_op(node, "BatchNormalization"))


def _fold(graph: ir.Graph, norm: ir.Node) -> bool:  # one check after another reads better than pieces of it
    inner = norm.inputs[0]
    compute = inner.producer() if inner is not None else None
    if inner is None or compute is None or not is_onnx_op(compute, "Conv", "ConvTranspose", "Gemm"):
        return False
    if only_consumer(inner) is not norm or norm.attributes.get_int("training_mode", 0) != 0:
        return False
    parameters = [constant_array(value) for value in norm.inputs[1:5]]
    weight = constant_array(compute.inputs[1])
    bias = compute.inputs[2] if len(compute.inputs) > 2 else None
    bias_array = constant_array(bias)
    if weight is None or any(p is None for p in parameters) or (bias is not None and bias_array is None):
        return False
    if bias_array is not None and bias_array.size not in {1, np.asarray(parameters[0]).size}:
        return False
    gamma, beta, mean, variance = (np.asarray(p, np.float64) for p in parameters)
    factor = gamma / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
    old_bias = np.zeros_like(mean) if bias_array is None else np.asarray(bias_array, np.float64)
    if compute.op_type == "Gemm":
        old_bias = np.broadcast_to(old_bias.reshape(-1), mean.shape) * compute.attributes.get_float("beta", 1.0)
        compute.attributes.pop("beta", None)
    new_weight = _scale_weight(compute, np.asarray(weight, np.float64), factor).astype(weight.dtype)
    new_bias = ((old_bias - mean) * factor + beta).astype(weight.dtype)
    base = inner.name or "folded"
    new_inputs = (
        add_initializer(graph, f"{base}/weight", new_weight),
        add_initializer(graph, f"{base}/bias", new_bias),
    )
    compute.resize_inputs(3)
    for position, value in enumerate(new_inputs, start=1):
        compute.replace_input_with(position, value)
    note_moments(compute, ChannelMoments(beta, np.abs(gamma)))
    return bypass(graph, norm, inner)


def _scale_weight(compute: ir.Node, weight: Float64, factor: Float64) -> Float64:
    if compute.op_type == "Gemm":
        return weight * (factor[:, None] if compute.attributes.get_int("transB", 0) else factor[None, :])
    if compute.op_type == "Conv":
        return weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    # ConvTranspose holds [in, out / group, ...]; output channel c of group g is column c of that group's rows
    group = compute.attributes.get_int("group", 1)
    split = weight.reshape(group, weight.shape[0] // group, *weight.shape[1:])
    scaled: Float64 = split * factor.reshape(group, 1, -1, *[1] * (weight.ndim - 2))
    return scaled.reshape(weight.shape)
