"""Add, Sub, Mul and Div to and from TFLite, which fuses an activation into each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgert.dtypes import DType
from edgert_converters.ops.spec import TfliteReader, TfliteWriter

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["arithmetic_reader", "arithmetic_writer"]

_POWERS_OF_TWO = {"ADD", "SUB"}


def arithmetic_reader(op_type: str) -> TfliteReader:
    """Returns the hook that reads a TFLite operator of two operands as the ONNX operator `op_type`."""

    def read(operator: TfOperator, graph: ImportGraph) -> None:
        operands, order = graph.aligned(operator.inputs)
        graph.finish(operator, graph.add(op_type, operands), order)

    return read


def arithmetic_writer(name: str, *, integers: bool = True) -> TfliteWriter:
    """Returns the hook that writes the TFLite operator `name`; without `integers` always on floats."""

    def write(node: ir.Node, graph: ExportGraph) -> None:
        if not integers:
            graph.compute_in_float(node)
        operands, order = graph.aligned(node, (0, 1))
        number, value = graph.activation(node)
        y = graph.tensor(value, order)
        options = {"fused_activation_function": number}
        if name in _POWERS_OF_TWO and graph.made(y).dtype is DType.INT16:
            options["pot_scale_int16"] = 0  # by default 16-bit scales must be powers of two
        graph.emit(name, operands, [y], **options)

    return write
