"""The finishing touches of a file with 16-bit activations: biases of 64 bits, and sums with scales of any size.

Operators are written the same for 8 and 16 bits; what TFLite asks for besides in 16 bits is put right here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.tflite.model import TfOperator, TfSubgraph, TfTensor

__all__ = ["with_wide_integers"]

_BIASED = {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "TRANSPOSE_CONV": 3}
"""Position of the bias."""
_SUMS = {"ADD", "SUB"}


def with_wide_integers(graph: TfSubgraph) -> TfSubgraph:
    """Returns the graph with what operators on int16 activations need; other operators stay as they are."""
    tensors = list(graph.tensors)
    operators = tuple(_widened(operator, tensors) for operator in graph.operators)
    return replace(graph, tensors=tuple(tensors), operators=operators)


def _widened(operator: TfOperator, tensors: list[TfTensor]) -> TfOperator:
    """Returns the operator, its bias replaced in `tensors`."""
    if not _is_wide(operator, tensors):
        return operator
    if operator.name in _SUMS:  # without it the kernel takes only scales that are powers of two
        return replace(operator, options={**operator.options, "pot_scale_int16": False})
    position = _BIASED.get(operator.name)
    if position is None or position >= len(operator.inputs) or operator.inputs[position] < 0:
        return operator
    index = operator.inputs[position]
    bias = tensors[index]
    if bias.data is None or bias.quant is None or bias.dtype is not DType.INT32:
        return operator
    params = QuantParams(bias.quant.scale, bias.quant.zero_point, DType.INT64, bias.quant.axis)
    wide = replace(bias, dtype=DType.INT64, data=np.asarray(bias.data, np.int64), quant=params)
    tensors[index] = wide
    return operator


def _is_wide(operator: TfOperator, tensors: Sequence[TfTensor]) -> bool:
    return any(index >= 0 and tensors[index].dtype is DType.INT16 for index in operator.inputs)
