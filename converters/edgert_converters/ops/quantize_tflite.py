"""TFLite's QUANTIZE and DEQUANTIZE: what they do stands in the Q/DQ pairs of their tensors.

From integers to other integers an Identity remains between DequantizeLinear and QuantizeLinear: it is the integer unit
that rescales.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgert.dtypes import DType

if TYPE_CHECKING:
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_dequantize", "read_quantize"]


def read_quantize(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds an Identity, whose output is quantized as the tensor says."""
    source = operator.inputs[0]
    x = graph.read(source)
    params = graph.tensor(source).quant
    is_integer = params is not None and params.dtype.is_quantized
    value = graph.add("Identity", [x.value]) if is_integer else x.value
    graph.finish(operator, value, x.order, activation="NONE")


def read_dequantize(operator: TfOperator, graph: ImportGraph) -> None:
    """Makes the output the real-valued input; float16 constants become float32."""
    source = operator.inputs[0]
    constant = graph.constant(source)
    if graph.tensor(source).dtype is not DType.FLOAT16:
        graph.alias(operator, source)
        return
    if constant is not None:
        x = graph.initializer(graph.name(operator.outputs[0]), constant.astype(np.float32))
        graph.finish(operator, x, activation="NONE")
        return
    placed = graph.read(source)
    graph.finish(operator, graph.add("Cast", [placed.value], {"to": 1}), placed.order, activation="NONE")
