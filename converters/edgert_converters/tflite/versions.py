"""The version of each operator in a file: the lowest whose definition covers what the file uses.

An interpreter refuses a version that it does not know, so files stay readable for the oldest one that can run them.
Source: tensorflow/lite/tools/versioning/op_version.cc, GetBuiltinOperatorVersion.
"""

from __future__ import annotations

from dataclasses import replace

from edgert.dtypes import DType
from edgert_converters.tflite.model import TfOperator, TfSubgraph

__all__ = ["operator_version", "with_versions"]

_INT8_VERSION = {
    "ADD": 2,
    "AVERAGE_POOL_2D": 2,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "LOGISTIC": 2,
    "MAX_POOL_2D": 2,
    "MEAN": 2,
    "MUL": 2,
    "PAD": 2,
    "QUANTIZE": 2,
    "SOFTMAX": 2,
    "TRANSPOSE": 2,
}


def with_versions(graph: TfSubgraph) -> TfSubgraph:
    """Returns the graph with every operator's version set."""
    operators = tuple(replace(item, version=operator_version(item, graph)) for item in graph.operators)
    return replace(graph, operators=operators)


def operator_version(operator: TfOperator, graph: TfSubgraph) -> int:
    """Returns the version that an operator of the graph needs."""
    kinds = {graph.tensors[index].dtype for index in (*operator.inputs[:1], *operator.outputs[:1]) if index >= 0}
    return max(operator.version, _INT8_VERSION.get(operator.name, 1) if DType.INT8 in kinds else 1)
