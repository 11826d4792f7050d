"""The version of each operator in a file: the lowest whose definition covers what the file uses.

An interpreter refuses a version that it does not know, so files stay readable for the oldest one that can run them.
Source: tensorflow/lite/tools/versioning/op_version.cc, GetBuiltinOperatorVersion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from edgert.dtypes import DType
from edgert_converters.tflite.model import TfOperator, TfSubgraph, TfTensor

__all__ = ["operator_version", "with_versions"]

# per operator its versions for int8 and for int16 data
_INT8_INT16: Final = {
    "ABS": (2, 3),
    "ADD": (2, 3),
    "ARG_MAX": (2, 1),
    "ARG_MIN": (2, 1),
    "AVERAGE_POOL_2D": (2, 3),
    "BATCH_MATMUL": (2, 3),
    "BATCH_TO_SPACE_ND": (2, 4),
    "BROADCAST_TO": (3, 3),
    "CONCATENATION": (2, 3),
    "CONV_2D": (3, 4),
    "DEPTHWISE_CONV_2D": (3, 5),
    "DEPTH_TO_SPACE": (2, 1),
    "DEQUANTIZE": (2, 3),
    "EQUAL": (2, 4),
    "EXP": (2, 2),
    "FLOOR_DIV": (3, 3),
    "FLOOR_MOD": (2, 2),
    "FULLY_CONNECTED": (4, 7),
    "GATHER": (2, 4),
    "GATHER_ND": (1, 3),
    "GELU": (2, 1),
    "GREATER": (2, 1),
    "GREATER_EQUAL": (2, 3),
    "L2_NORMALIZATION": (2, 1),
    "LEAKY_RELU": (1, 2),
    "LESS": (2, 3),
    "LESS_EQUAL": (2, 1),
    "LOG": (2, 2),
    "LOGISTIC": (2, 3),
    "LOG_SOFTMAX": (2, 1),
    "MAXIMUM": (2, 4),
    "MAX_POOL_2D": (2, 3),
    "MEAN": (2, 3),
    "MINIMUM": (2, 4),
    "MIRROR_PAD": (2, 3),
    "MUL": (2, 4),
    "NOT_EQUAL": (2, 1),
    "PACK": (2, 3),
    "PAD": (2, 3),
    "PADV2": (2, 3),
    "REDUCE_MAX": (2, 3),
    "REDUCE_MIN": (2, 3),
    "REDUCE_PROD": (2, 2),
    "RELU": (2, 3),
    "RELU6": (2, 3),
    "RESIZE_BILINEAR": (2, 4),
    "RESIZE_NEAREST_NEIGHBOR": (2, 4),
    "REVERSE_V2": (3, 1),
    "RSQRT": (2, 3),
    "SELECT": (2, 1),
    "SLICE": (2, 4),
    "SOFTMAX": (2, 3),
    "SPACE_TO_BATCH_ND": (2, 4),
    "SPACE_TO_DEPTH": (2, 1),
    "SPLIT": (2, 4),
    "SPLIT_V": (2, 1),
    "SQUARED_DIFFERENCE": (2, 1),
    "STRIDED_SLICE": (2, 1),
    "SUB": (2, 5),
    "SUM": (2, 1),
    "TANH": (2, 3),
    "TILE": (3, 1),
    "TOPK_V2": (2, 3),
    "TRANSPOSE": (2, 5),
    "TRANSPOSE_CONV": (2, 3),
    "UNPACK": (2, 4),
}
_OTHER_TYPES: Final = {
    ("ABS", DType.INT32): 5,
    ("ABS", DType.UINT8): 2,
    ("ADD", DType.INT64): 4,
    ("ARG_MAX", DType.BOOL): 3,
    ("ARG_MIN", DType.BOOL): 3,
    ("DEQUANTIZE", DType.FLOAT16): 3,
    ("FLOOR_DIV", DType.FLOAT): 2,
    ("GATHER", DType.BOOL): 3,
    ("GATHER_ND", DType.BOOL): 5,
    ("GELU", DType.UINT8): 2,
    ("MUL", DType.INT64): 5,
    ("RANGE", DType.INT64): 2,
    ("RELU", DType.UINT8): 2,
    ("REVERSE_V2", DType.BOOL): 2,
    ("SIGN", DType.INT32): 2,
    ("SPLIT", DType.INT32): 3,
    ("STRIDED_SLICE", DType.BOOL): 3,
    ("SUB", DType.INT64): 4,
    ("TRANSPOSE", DType.BOOL): 3,
    ("UNPACK", DType.BOOL): 3,
    ("UNPACK", DType.UINT8): 2,
}
_DATA_INPUT: Final = {"SPLIT": 1, "TRANSPOSE_CONV": 2, "SELECT": 1}
_MANY_AXES: Final = {"PAD": 4, "PADV2": 4, "SLICE": 5, "STRIDED_SLICE": 4, "TRANSPOSE": 4}
"""Versions for more than 4 axes."""
_MANY_AXES_BROADCAST: Final = {"DIV": 2, "MAXIMUM": 3, "MINIMUM": 3, "SUB": 3}
"""Versions for more than 4 axes in an input, with inputs of different shapes."""
_CASTS: Final = {
    DType.FLOAT16: 5,
    DType.DOUBLE: 5,
    DType.UINT16: 4,
    DType.INT8: 3,
    DType.UINT32: 2,
}
"""Versions of CAST for a type on either side."""
_HYBRID: Final = {"CONV_2D": (2, 5), "DEPTHWISE_CONV_2D": (4, 6), "FULLY_CONNECTED": (3, 12)}
"""Versions for float data with int8 weights: of one scale, and of one per channel."""


_INT4_WEIGHTS: Final = {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 7, "FULLY_CONNECTED": 10}
"""Versions for int8 data with weights of 4 bits."""


def with_versions(graph: TfSubgraph) -> TfSubgraph:
    """Returns the graph with every operator's version set."""
    operators = tuple(replace(item, version=operator_version(item, graph)) for item in graph.operators)
    return replace(graph, operators=operators)


def operator_version(operator: TfOperator, graph: TfSubgraph) -> int:
    """Returns the version that an operator of the graph needs; a higher one that it has already stays."""
    inputs = [graph.tensors[index] if index >= 0 else None for index in operator.inputs]
    outputs = [graph.tensors[index] for index in operator.outputs]
    position = _DATA_INPUT.get(operator.name, 0)
    data = inputs[position] if position < len(inputs) else None
    needed = [operator.version, _for_options(operator, inputs, outputs)]
    if data is not None:
        needed.append(_for_type(operator.name, data.dtype))
        if len(data.shape) > 4:
            needed.append(_MANY_AXES.get(operator.name, 1))
        needed.append(_for_weights(operator.name, data, inputs))
        needed.append(_for_axes(operator.name, data, inputs))
    return max(needed)


def _for_axes(name: str, data: TfTensor, inputs: Sequence[TfTensor | None]) -> int:
    """The version that the number of axes and broadcasting ask for."""
    ranks = [len(tensor.shape) for tensor in inputs if tensor is not None]
    if name in {"BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND"}:
        return 3 if len(data.shape) != 4 else 1
    if name == "TRANSPOSE":
        return 6 if len(data.shape) > 5 else 1
    if name == "SELECT":
        return 3 if 5 in ranks else 1
    second = inputs[1] if len(inputs) > 1 else None
    broadcast = second is not None and second.shape != data.shape
    return _MANY_AXES_BROADCAST.get(name, 1) if broadcast and max(ranks) > 4 else 1


def _for_type(name: str, dtype: DType | None) -> int:
    if dtype in {DType.INT8, DType.INT16}:
        return _INT8_INT16.get(name, (1, 1))[dtype is DType.INT16]
    return 1 if dtype is None else _OTHER_TYPES.get((name, dtype), 1)


def _for_weights(name: str, data: TfTensor, inputs: Sequence[TfTensor | None]) -> int:
    weight = inputs[1] if len(inputs) > 1 else None
    if weight is not None and weight.dtype is DType.INT4:
        return _INT4_WEIGHTS.get(name, 1)
    if name not in _HYBRID or data.dtype is not DType.FLOAT or weight is None or weight.dtype is not DType.INT8:
        return 1
    return _HYBRID[name][weight.quant is not None and weight.quant.axis is not None]


def _for_options(operator: TfOperator, inputs: Sequence[TfTensor | None], outputs: Sequence[TfTensor]) -> int:
    """The version that an operator's options and shapes ask for, whatever its types."""
    name, options = operator.name, operator.options
    x, y = (tensors[0] if tensors else None for tensors in (inputs, outputs))
    if name == "CONV_2D" and x is not None and inputs[1] is not None:
        return 6 if x.shape[3] != inputs[1].shape[3] else 1
    if name == "DEPTHWISE_CONV_2D":
        dilated = any(options.get(axis, 1) != 1 for axis in ("dilation_h_factor", "dilation_w_factor"))
        return 2 if dilated else 1
    if name == "FULLY_CONNECTED":
        absent = len(inputs) < 3 or inputs[2] is None
        return 6 if absent else 5 if options.get("keep_num_dims") else 1
    if name == "TRANSPOSE_CONV":
        return 4 if options.get("fused_activation_function") else 3 if len(inputs) > 3 else 1
    if name in {"RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"}:
        half = options.get("half_pixel_centers") or (name != "RESIZE_BILINEAR" and options.get("align_corners"))
        return 3 if half else 1
    if name == "STRIDED_SLICE":
        return 6 if options.get("ellipsis_mask") or options.get("new_axis_mask") else 1
    if name == "GATHER":
        return 5 if options.get("batch_dims") else 1
    return 1 if y is None else _for_output(operator, inputs, y)


def _for_output(operator: TfOperator, inputs: Sequence[TfTensor | None], y: TfTensor) -> int:
    if operator.name == "MUL":
        return 3 if _product_grows(inputs, y) else 1
    if operator.name == "QUANTIZE":
        return 3 if y.quant is not None and y.quant.axis is not None else 2 if y.dtype is DType.INT16 else 1
    x = inputs[0] if inputs else None
    if operator.name == "CAST":
        kinds = [tensor.dtype for tensor in (x, y) if tensor is not None and tensor.dtype is not None]
        return max(_CASTS.get(kind, 1) for kind in kinds)
    if operator.name == "DEQUANTIZE":
        return 5 if x is not None and x.quant is not None and x.quant.axis is not None else 1
    if operator.name == "FILL":
        return {DType.BOOL: 2, DType.INT8: 3, DType.INT16: 3, DType.FLOAT16: 4}.get(y.dtype or DType.FLOAT, 1)
    if operator.name == "WHERE":
        return 1 if x is not None and x.dtype is DType.BOOL else 2
    return 2 if operator.name == "BROADCAST_TO" else 1


def _product_grows(inputs: Sequence[TfTensor | None], y: TfTensor) -> bool:
    """True where a product's multiplier is 1 or more, which the first kernels did not take."""
    params = [tensor.quant if tensor is not None else None for tensor in (*inputs[:2], y)]
    if len(params) < 3 or any(entry is None for entry in params):
        return False
    a, b, out = (np.float64(entry.scale[0]) for entry in params if entry is not None)
    return bool(a * b / out >= 1.0)
