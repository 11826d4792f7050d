"""Concat to and from TFLite's CONCATENATION, which wants one scale on int8: a QUANTIZE stands before other inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgert.dtypes import DType
from edgert_converters.ops.attributes import get_int, normalise_axis

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["read_concatenation", "write_concat"]


def read_concatenation(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a Concat in the order of the first computed input."""
    operands, order = graph.aligned(operator.inputs)
    axis = int(operator.options.get("axis", 0)) % len(order)  # type: ignore[arg-type]  # an integer by schema
    graph.finish(operator, graph.add("Concat", operands, {"axis": order.index(axis)}), order)


def write_concat(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a CONCATENATION."""
    unit = graph.unit(node)
    if unit is not None and unit.clamps[0]:
        graph.compute_in_float(node)
    operands, order = graph.aligned(node, range(len(node.inputs)))
    value, params = graph.result(node), graph.output_params(node)
    axis = normalise_axis(get_int(graph.describe(node), "axis", 0), len(order))
    if params is not None:
        for number, index in enumerate(operands):
            made = graph.made(index)
            if made.quant != params:
                name = f"{made.name}_brought"
                operands[number] = graph.scratch(name, made.shape, params.dtype or DType.INT8, params)
                graph.emit("QUANTIZE", [index], [operands[number]])
    y = graph.tensor(value, order)
    graph.emit("CONCATENATION", operands, [y], axis=order.index(axis), fused_activation_function=0)
