"""Transpose; without `perm` the axes are reversed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgert_converters.ops.attributes import get_ints, require_input
from edgert_converters.ops.rules import move_integers, no_macs
from edgert_converters.ops.samples import normal
from edgert_converters.ops.spec import Array, Case, ChannelRule, Node, Operator, QuantRule
from edgert_converters.tflite.layout import after_transpose
from edgert_converters.tflite.moves import read_moved, rename

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["SPEC"]


def reference(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """Returns x with its axes in another order."""
    x = require_input(node, inputs, 0)
    return [np.ascontiguousarray(np.transpose(x, get_ints(node, "perm", tuple(range(x.ndim))[::-1])))]


_X = normal(2, 3, 4, 5, seed=1)
CASES = (Case("nhwc", (_X,), {"perm": (0, 2, 3, 1)}), Case("reverse", (_X,)))


def read_transpose(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds nothing: the value stays as it lies and has another axis order."""
    placed, perm = graph.read(operator.inputs[0]), graph.required(operator, 1)
    graph.place(operator, placed.value, after_transpose(placed.order, perm))


def write_transpose(node: ir.Node, graph: ExportGraph) -> None:
    """Writes nothing: the tensor stays as it lies and has another axis order."""
    stored = read_moved(node, graph)
    perm = get_ints(graph.describe(node), "perm", tuple(range(len(stored.order)))[::-1])
    rename(node, graph, stored.index, after_transpose(stored.order, perm))


SPEC = Operator(
    op_type="Transpose",
    macs=no_macs,
    reference=reference,
    quantization=QuantRule.SHARED,
    channels=ChannelRule.BREAKS,
    cases=CASES,
    integer=move_integers(reference),
    onnxruntime_int8=True,
    from_tflite={"TRANSPOSE": read_transpose},
    to_tflite=write_transpose,
)
