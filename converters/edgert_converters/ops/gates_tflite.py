"""Sigmoid, Tanh, HardSwish, Relu, LeakyRelu and PRelu to and from TFLite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from edgert.dtypes import DType
from edgert.quant import QuantParams
from edgert_converters.ops.attributes import get_float
from edgert_converters.ops.element_wise_tflite import unary_reader
from edgert_converters.ops.spec import TfliteReader, TfliteWriter

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["GATE_READERS", "GATE_WRITERS", "read_leaky_relu", "read_prelu", "write_leaky_relu", "write_prelu"]

# the output parameters that the integer kernels know
_FIXED = {
    ("LOGISTIC", DType.INT8): (1 / 256, -128),
    ("LOGISTIC", DType.INT16): (1 / 32768, 0),
    ("TANH", DType.INT8): (1 / 128, 0),
    ("TANH", DType.INT16): (1 / 32768, 0),
}
_INTEGERS = {
    "HARD_SWISH": {DType.INT8},
    "LEAKY_RELU": {DType.INT8, DType.INT16},
    "LOGISTIC": {DType.INT8, DType.INT16},
    "PRELU": {DType.INT8},
    "TANH": {DType.INT8, DType.INT16},
}


def _is_integer(node: ir.Node, graph: ExportGraph, name: str) -> bool:
    """True where the node is an integer unit that TFLite's kernel computes; else it is made to compute in float."""
    unit, y = graph.unit(node), graph.output_params(node)
    if unit is None or y is None:
        return False
    fixed = _FIXED.get((name, y.dtype))
    fits = y.dtype in _INTEGERS[name] and not unit.clamps[0] and fixed in {None, (y.scale[0], y.zero_point[0])}
    x = graph.input_params(node, 0)
    if not fits or x is None or x.dtype is not y.dtype or (name == "HARD_SWISH" and not _is_coarse(x, y)):
        graph.compute_in_float(node)
        return False
    return True


def _is_coarse(x: QuantParams, y: QuantParams) -> bool:
    """True where an output step is more than 1 / 128 of an input step: HARD_SWISH's kernels take no finer one."""
    return bool(np.float32(x.scale[0]) / np.float32(128) < np.float32(y.scale[0]))


def _writer(name: str) -> TfliteWriter:
    def write(node: ir.Node, graph: ExportGraph) -> None:
        _is_integer(node, graph, name)
        x = graph.read(node, 0)
        graph.emit(name, [x.index], [graph.tensor(graph.result(node), x.order)])

    return write


def read_leaky_relu(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a LeakyRelu."""
    x = graph.read(operator.inputs[0])
    y = graph.add("LeakyRelu", [x.value], {"alpha": float(operator.options["alpha"])})  # type: ignore[arg-type]  # a float by schema
    graph.finish(operator, y, x.order, activation="NONE")


def write_leaky_relu(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a LEAKY_RELU."""
    _is_integer(node, graph, "LEAKY_RELU")
    x = graph.read(node, 0)
    y = graph.tensor(graph.result(node), x.order)
    graph.emit("LEAKY_RELU", [x.index], [y], alpha=get_float(graph.describe(node), "alpha", 0.01))


def read_prelu(operator: TfOperator, graph: ImportGraph) -> None:
    """Adds a PRelu."""
    operands, order = graph.aligned(operator.inputs)
    graph.finish(operator, graph.add("PRelu", operands), order, activation="NONE")


def write_prelu(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a PRELU."""
    _is_integer(node, graph, "PRELU")
    operands, order = graph.aligned(node, (0, 1))
    graph.emit("PRELU", operands, [graph.tensor(graph.result(node), order)])


GATE_READERS: Final[Mapping[str, Mapping[str, TfliteReader]]] = {
    "HardSwish": {"HARD_SWISH": unary_reader("HardSwish")},
    "Sigmoid": {"LOGISTIC": unary_reader("Sigmoid")},
    "Tanh": {"TANH": unary_reader("Tanh")},
}

GATE_WRITERS: Final[Mapping[str, TfliteWriter]] = {
    "HardSwish": _writer("HARD_SWISH"),
    "Sigmoid": _writer("LOGISTIC"),
    "Tanh": _writer("TANH"),
}
