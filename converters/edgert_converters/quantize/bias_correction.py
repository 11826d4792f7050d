"""Bias correction: rounding weights shifts the mean of each output channel; the bias takes the shift back.

Source: Nagel, van Baalen, Blankevoort and Welling, Data-free quantization through weight equalization and bias
correction, 2019, arXiv:1906.04721, equations 14-17. We deviate in E[x]: it is measured on the calibration data, not
derived from BatchNorm. Border padding is not accounted for: a padded position counts as an average one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert.quant import QuantParams, dequantize
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.rounding import round_node
from edgert_converters.quantize.statistics import TensorStatistics
from edgert_converters.quantize.weighted import int_attribute, read_weighted, weighted_nodes

__all__ = ["correct_biases", "output_shift"]


def correct_biases(model: ir.Model, plan: Plan, statistics: Mapping[str, TensorStatistics]) -> Plan:
    """Returns the plan with the biases moved by what rounding its weights moved the mean of each output channel.

    Args:
        model: the float graph the plan was made for.
        plan: with weights rounded to nearest; operators without a bias keep none.
        statistics: of the operators' inputs.
    """
    weights = dict(plan.weights)
    for node in weighted_nodes(model, plan.integer_nodes):
        name, weighted, rounded = str(node.name), read_weighted(node), plan.weights[str(node.name)]
        x = node.inputs[0]
        means = statistics[str(x.name)].channel_means() if x is not None else None
        if weighted.bias is None or means is None:
            continue
        shift = output_shift(node, weighted.weight, rounded.weight, rounded.weight_params, means)
        weights[name] = round_node(node, plan, weighted, weighted.bias + shift)
    return replace(plan, weights=weights)


def output_shift(
    node: ir.Node,
    weight: NDArray[np.float32],
    integers: NDArray[np.int8],
    params: QuantParams,
    channel_means: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Returns what to add to the bias, float32[M]: the mean of (W - W_quantized) x.

    Args:
        node: Conv with weights [M, C/group, ...], ConvTranspose with [C, M/group, ...], or Gemm with [K, M] or
            (transB) [M, K].
        weight: float weights.
        integers: the same, quantized.
        params: of `integers`.
        channel_means: E[x] per input channel, float64[C].

    Other operators, and inputs whose channels do not match, get no correction (zeros).
    """
    error = weight.astype(np.float64) - dequantize(integers, params)
    if node.op_type == "Conv":
        return _conv_shift(error, channel_means, group=int_attribute(node, "group", 1))
    if node.op_type == "ConvTranspose":
        return _transposed_shift(node, error, channel_means)
    if node.op_type == "Gemm":
        matrix = error if int_attribute(node, "transB", 0) else error.T
        if matrix.shape[1] == channel_means.size:
            return (matrix @ channel_means).astype(np.float32)
        return np.zeros(matrix.shape[0], np.float32)
    return np.zeros(weight.shape[-1], np.float32)


def _conv_shift(error: NDArray[np.float64], channel_means: NDArray[np.float64], group: int) -> NDArray[np.float32]:
    summed = error.reshape(*error.shape[:2], -1).sum(axis=2)
    outputs, per_group = summed.shape
    if per_group * group != channel_means.size:
        return np.zeros(outputs, np.float32)
    means = channel_means.reshape(group, per_group)[np.arange(outputs) * group // outputs]
    shift: NDArray[np.float32] = (summed * means).sum(axis=1).astype(np.float32)
    return shift


def _transposed_shift(
    node: ir.Node, error: NDArray[np.float64], channel_means: NDArray[np.float64]
) -> NDArray[np.float32]:
    """An output position meets only the kernel elements of its place between the strides: 1 / product(strides)."""
    summed = error.reshape(*error.shape[:2], -1).sum(axis=2)
    group = int_attribute(node, "group", 1)
    if summed.shape[0] != channel_means.size:
        return np.zeros(summed.shape[1] * group, np.float32)
    strides = node.attributes["strides"].as_ints() if "strides" in node.attributes else ()
    products = (summed * channel_means[:, None]).reshape(group, -1, summed.shape[1]).sum(axis=1)
    shift: NDArray[np.float32] = (products.reshape(-1) / np.prod(strides or (1,))).astype(np.float32)
    return shift
