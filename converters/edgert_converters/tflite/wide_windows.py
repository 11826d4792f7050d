"""Gives depthwise convolutions with large windows a form that XNNPACK has fast integer kernels for.

XNNPACK's depthwise int8 kernels end at 25 taps (5 x 5). It computes a larger window as one matrix product per channel,
padded to the 8 to 16 outputs and the 4 or 8 inputs of a kernel: a 7 x 7 window takes 16 to 30 times the instructions of
a 5 x 5 one. The same convolution in groups of eight channels, with zero weights between different channels, fills those
kernels and gives the same integers. Counts stand in docs/arm-instructions.md. The price is eight times the weights of
these layers in the file.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgert.dtypes import DType
from edgert_converters.tflite.model import TfOperator, TfSubgraph, TfTensor

__all__ = ["MOST_DEPTHWISE_TAPS", "group_wide_windows", "ungroup_windows"]

MOST_DEPTHWISE_TAPS = 25
"""Source: XNNPACK, src/configs/dwconv-config.c: `qs8_qc8w_dwconv_config` has kernels of 9 and 25 taps."""
_GROUP = 8
_OF_CONV_2D = {"quantized_bias_type"}
"""Options that DEPTHWISE_CONV_2D has not."""


def group_wide_windows(graph: TfSubgraph) -> TfSubgraph:
    """Returns the graph with such DEPTHWISE_CONV_2D operators as CONV_2D in groups of eight channels.

    Left alone: float and 16-bit activations, computed or 4-bit weights, several outputs per input channel, a number of
    channels that eight does not divide, and weights that another operator reads.
    """
    tensors, operators = list(graph.tensors), list(graph.operators)
    for place, operator in enumerate(graph.operators):
        if _is_wide(operator, graph):
            number = operator.inputs[1]
            tensors[number] = _in_groups(tensors[number])
            options = {name: value for name, value in operator.options.items() if name != "depth_multiplier"}
            operators[place] = replace(operator, name="CONV_2D", options=options)
    return replace(graph, tensors=tuple(tensors), operators=tuple(operators))


def _is_wide(operator: TfOperator, graph: TfSubgraph) -> bool:
    if operator.name != "DEPTHWISE_CONV_2D" or operator.options.get("depth_multiplier") != 1:
        return False
    x, weight = (graph.tensors[index] for index in operator.inputs[:2])
    if x.dtype is not DType.INT8 or weight.dtype is not DType.INT8 or weight.data is None:
        return False
    _, height, width, channels = weight.shape
    readers = sum(other.inputs.count(operator.inputs[1]) for other in graph.operators)
    return height * width > MOST_DEPTHWISE_TAPS and channels % _GROUP == 0 and readers == 1


def _in_groups(weight: TfTensor) -> TfTensor:
    """Returns weights [1, kh, kw, C] as [C, kh, kw, 8]: channel c reads input c % 8 of its group, and zeros."""
    if weight.data is None:
        raise AssertionError("weights without numbers")
    _, height, width, channels = weight.shape
    data = np.zeros((channels, height, width, _GROUP), weight.data.dtype)
    every = np.arange(channels)
    data[every, :, :, every % _GROUP] = weight.data[0].transpose(2, 0, 1)
    params = weight.quant
    quant = params if params is None or params.axis is None else replace(params, axis=0)
    return replace(weight, shape=data.shape, data=data, quant=quant)


def ungroup_windows(graph: TfSubgraph) -> TfSubgraph:
    """Returns the graph with what `group_wide_windows` makes as DEPTHWISE_CONV_2D again, so that it is known as one.

    Left alone: groups in which an output reads another channel than its own.
    """
    tensors, operators = list(graph.tensors), list(graph.operators)
    for place, operator in enumerate(graph.operators):
        if _is_grouped(operator, graph):
            number = operator.inputs[1]
            tensors[number] = _own_channels(tensors[number])
            options = {key: value for key, value in operator.options.items() if key not in _OF_CONV_2D}
            options["depth_multiplier"] = 1
            operators[place] = replace(operator, name="DEPTHWISE_CONV_2D", options=options)
    return replace(graph, tensors=tuple(tensors), operators=tuple(operators))


def _is_grouped(operator: TfOperator, graph: TfSubgraph) -> bool:
    # a damaged file may lack anything; what does so is refused where it is read
    if operator.name != "CONV_2D" or len(operator.inputs) < 2 or min(operator.inputs[:2]) < 0:
        return False
    x, weight = (graph.tensors[index] for index in operator.inputs[:2])
    if weight.data is None or weight.dtype is not DType.INT8 or not weight.quant or any(weight.quant.zero_point):
        return False
    if not len(x.shape) == len(weight.shape) == 4 or weight.data.shape != weight.shape:
        return False
    channels, height, width, group = weight.shape
    readers = sum(other.inputs.count(operator.inputs[1]) for other in graph.operators)
    if group != _GROUP or height * width <= MOST_DEPTHWISE_TAPS or x.shape[3] != channels or readers != 1:
        return False
    other = np.arange(channels)[:, None] % _GROUP != np.arange(_GROUP)
    return not weight.data.transpose(0, 3, 1, 2)[other].any()


def _own_channels(weight: TfTensor) -> TfTensor:
    """The inverse of `_in_groups`."""
    if weight.data is None:
        raise AssertionError("weights without numbers")
    every = np.arange(weight.shape[0])
    data = weight.data[every, :, :, every % _GROUP].transpose(1, 2, 0)[np.newaxis]
    params = weight.quant
    quant = params if params is None or params.axis is None else replace(params, axis=3)
    return replace(weight, shape=data.shape, data=data, quant=quant)
