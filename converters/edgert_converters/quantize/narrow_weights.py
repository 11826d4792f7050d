"""Stores weights that fit into 4 bits as ONNX's INT4: half the bytes of a file, and TFLite's INT4 tensors.

ONNX files of edgert do not use it: ONNX Runtime disables its integer kernels for 4-bit types
(https://github.com/microsoft/onnxruntime/pull/20362), so the same integers in int8 run faster.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgert_converters.ops.spec import Array
from edgert_converters.quantize.insert import add_initializer, raise_opset
from edgert_converters.quantize.weighted import WEIGHTED
from edgert_converters.units import dequantizer_of

__all__ = ["with_int4_weights"]

_WITHOUT_KERNEL = {"ConvTranspose"}
"""TFLite's TRANSPOSE_CONV reads no 4-bit weights."""


def with_int4_weights(model: ir.Model) -> ir.Model:
    """Returns a copy whose weights in [-8, 7] behind DequantizeLinear are stored in 4 bits, in opset 21.

    Raises:
        ModelError: an operator means something else in that opset.
    """
    copy = model.clone()
    raise_opset(copy)
    for node in copy.graph:
        if node.op_type not in WEIGHTED - _WITHOUT_KERNEL or len(node.inputs) < 2 or node.inputs[1] is None:
            continue
        restored = dequantizer_of(node.inputs[1])
        if restored is None:
            continue
        for index in (0, 2):
            constant = restored.inputs[index]
            if constant is not None and constant.const_value is not None and _fits(constant.const_value.numpy()):
                restored.replace_input_with(index, _narrow(copy.graph, restored, index, constant.const_value.numpy()))
    RemoveUnusedNodesPass()(copy)
    return copy


def _fits(array: Array) -> bool:
    return array.dtype == np.int8 and array.size > 0 and int(array.min()) >= -8 and int(array.max()) <= 7


def _narrow(graph: ir.Graph, restored: ir.Node, index: int, array: Array) -> ir.Value:
    """A new constant: the wide one may be the zero point of an activation too."""
    return add_initializer(graph, f"{restored.name}__int4_{index}", array.astype(ir.DataType.INT4.numpy()))
