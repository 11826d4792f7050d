"""Add with numpy broadcasting.

Integer rule (the order of ONNX Runtime's AVX2 kernel; fma rounds once):

    r_a = f32(s_a / s_y), r_b = f32(s_b / s_y)
    fixed = f32(zp_y - f32(f32(r_a * zp_a) + f32(r_b * zp_b)))
    y = clamp(rint(fma(a, r_a, fma(b, r_b, fixed))))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgert.quant import QuantParams
from edgert_converters.ops.attributes import require_input
from edgert_converters.ops.rules import no_macs
from edgert_converters.ops.samples import ints, normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QTensor, QuantRule

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns a + b."""
    return [np.asarray(require_input(node, inputs, 0) + require_input(node, inputs, 1))]


def integer(node: Node, inputs: Sequence[QTensor | Array | None], outputs: Sequence[QuantParams]) -> list[QTensor]:
    """Returns the sum of the module docstring; float64 stands in for the fused multiply-add.

    a * r has at most 32 significant bits, so the float64 sum is exact unless the exponents lie 21 bits apart.
    """
    a, b = require_input(node, inputs, 0), require_input(node, inputs, 1)
    params = outputs[0]
    ratio_a = np.float32(a.params.scale[0]) / np.float32(params.scale[0])
    ratio_b = np.float32(b.params.scale[0]) / np.float32(params.scale[0])
    zero_a, zero_b = np.float32(a.params.zero_point[0]), np.float32(b.params.zero_point[0])
    fixed = np.float32(params.zero_point[0]) - (ratio_a * zero_a + ratio_b * zero_b)
    partial = (b.values.astype(np.float64) * np.float64(ratio_b) + np.float64(fixed)).astype(np.float32)
    total = (a.values.astype(np.float64) * np.float64(ratio_a) + partial).astype(np.float32)
    low, high = params.dtype.integer_range
    return [QTensor(np.clip(np.rint(total), low, high).astype(params.dtype.numpy), params)]


CASES = (
    Case("same_shape", (normal(2, 5, 7, 3, seed=1), normal(2, 5, 7, 3, seed=2, spread=0.4))),
    Case("bias", (normal(2, 6, 40, seed=3), normal(6, 1, seed=4)), {}, (1,)),
    Case("scalar", (normal(3, 33, seed=5), normal(1, seed=6)), {}, (1,)),
    Case("shapes_int64", (ints(1, 2, 3), ints(4, 5, 6))),
)


def read_add(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds an Add of TFLite's ADD, which may carry a fused activation."""
    operands, order = graph.aligned(operator.inputs)
    graph.finish(operator, graph.add("Add", operands), order)


def write_add(node: ir.Node, graph: ExportGraph) -> None:
    """Writes an ADD."""
    operands, order = graph.aligned(node, (0, 1))
    number, value = graph.activation(node)
    graph.emit("ADD", operands, [graph.tensor(value, order)], fused_activation_function=number)


SPEC = Operator(
    op_type="Add",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.OWN,
    channels=ChannelRule.JOINS,
    cases=CASES,
    integer=integer,
    onnxruntime_int8=True,
    from_tflite={"ADD": read_add},
    to_tflite=write_add,
)
