"""Brings the constants of a parsed file to the types that the graph carries, before any operator is read.

DEQUANTIZE of a constant becomes the constant itself: float16 weights turn into float32, integer weights keep their
integers and their scale. int64 biases (int16 activations) become int32, the type that DequantizeLinear takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.tflite.model import TfOperator, TfSubgraph, TfTensor

__all__ = ["plain_constants"]


def plain_constants(graph: TfSubgraph) -> TfSubgraph:
    """Returns the graph with its constants in types that ONNX operators read, without DEQUANTIZE of constants."""
    tensors = [_narrow(tensor) for tensor in graph.tensors]
    kept: list[TfOperator] = []
    for operator in graph.operators:
        if operator.name == "DEQUANTIZE" and _is_constant(tensors, operator):
            source, target = operator.inputs[0], operator.outputs[0]
            tensors[target] = _dequantized(tensors[source], tensors[target])
        else:
            kept.append(operator)
    return replace(graph, tensors=tuple(tensors), operators=tuple(kept))


def _is_constant(tensors: Sequence[TfTensor], operator: TfOperator) -> bool:
    if len(operator.inputs) != 1 or len(operator.outputs) != 1 or operator.inputs[0] < 0:
        return False
    return tensors[operator.inputs[0]].data is not None


def _dequantized(source: TfTensor, target: TfTensor) -> TfTensor:
    if source.data is not None and source.dtype is DType.FLOAT16:
        return replace(target, dtype=DType.FLOAT, data=source.data.astype(np.float32), shape=source.shape)
    return replace(source, name=target.name)


def _narrow(tensor: TfTensor) -> TfTensor:
    """int64 with a scale as int32, or as float32 where a value does not fit."""
    if tensor.data is None or tensor.quant is None or tensor.dtype is not DType.INT64:
        return tensor
    params, limits = tensor.quant, np.iinfo(np.int32)
    whole = np.asarray(tensor.data, np.int64)
    if not whole.size or (whole.min() >= limits.min and whole.max() <= limits.max and not any(params.zero_point)):
        narrow = QuantParams(params.scale, params.zero_point, DType.INT32, params.axis)
        return replace(tensor, dtype=DType.INT32, data=whole.astype(np.int32), quant=narrow)
    centred = whole - params.zero_point_array(whole.ndim)
    real = (centred.astype(np.float64) * params.scale_array(whole.ndim)).astype(np.float32)
    return replace(tensor, dtype=DType.FLOAT, data=real, quant=None)
