"""Relu and Clip on their own, to and from TFLite's RELU, RELU6, RELU_N1_TO_1, MAXIMUM and MINIMUM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from edgert.dtypes import DType
from edgert.quant import QuantParams, quantize
from edgert_converters.ops.attributes import input_or_attribute
from edgert_converters.ops.spec import Array, TfliteReader
from edgert_converters.tflite.layout import Order

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgert_converters.tflite.export_graph import ExportGraph
    from edgert_converters.tflite.import_graph import ImportGraph
    from edgert_converters.tflite.model import TfOperator

__all__ = ["CLIP_READERS", "RELU_READERS", "write_clip", "write_relu"]

_BY_NAME = {"RELU": (0.0, np.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}
# RELU_0_TO_1 is younger than the interpreters we write for
_BY_LIMITS = {limits: name for name, limits in _BY_NAME.items() if name != "RELU_0_TO_1"}


def _reader(name: str) -> TfliteReader:
    def read(operator: TfOperator, graph: ImportGraph) -> None:
        x = graph.read(operator.inputs[0])
        if name == "RELU":
            y = graph.add("Relu", [x.value])
        else:
            limits = [graph.initializer("limit", np.asarray(limit, np.float32)) for limit in _BY_NAME[name]]
            y = graph.add("Clip", [x.value, *limits])
        graph.finish(operator, y, x.order, activation="NONE")

    return read


RELU_READERS: Final[Mapping[str, TfliteReader]] = {"RELU": _reader("RELU")}
CLIP_READERS: Final[Mapping[str, TfliteReader]] = {name: _reader(name) for name in _BY_NAME if name != "RELU"}


def write_relu(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a RELU."""
    _write(node, graph, 0.0, np.inf)


def write_clip(node: ir.Node, graph: ExportGraph) -> None:
    """Writes a RELU6 or RELU_N1_TO_1 where the limits are theirs, else a MAXIMUM and a MINIMUM."""
    limits = [_limit(node, graph, index, name) for index, name in ((1, "min"), (2, "max"))]
    if any(limit is None for limit in limits):
        _write_computed(node, graph)
        return
    low, high = (float(limit.reshape(-1)[0]) for limit in limits if limit is not None)
    _write(node, graph, low, high)


def _limit(node: ir.Node, graph: ExportGraph, index: int, name: str) -> Array | None:
    """Returns a limit; infinite where absent, None where it is computed."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is not None:
        return graph.constant(value)
    found = input_or_attribute(graph.describe(node), [], index, name)
    return found if found is not None else np.asarray(-np.inf if index == 1 else np.inf)


def _write_computed(node: ir.Node, graph: ExportGraph) -> None:
    graph.compute_in_float(node)
    stored = graph.read(node, 0)
    x, tensor = stored.index, graph.made(stored.index)
    given = [(index, name) for index, name in ((1, "MAXIMUM"), (2, "MINIMUM")) if index < len(node.inputs)]
    present = [(index, name) for index, name in given if node.inputs[index] is not None]
    for number, (index, name) in enumerate(present):
        is_last = number == len(present) - 1
        dtype = tensor.dtype or DType.FLOAT
        y = (
            graph.tensor(graph.result(node), stored.order)
            if is_last
            else graph.scratch(f"{node.name}_part", tensor.shape, dtype)
        )
        graph.emit(name, [x, graph.plain(node, index)], [y])
        x = y


def _write(node: ir.Node, graph: ExportGraph, low: float, high: float) -> None:
    unit = graph.unit(node)
    if unit is not None and unit.clamps[0]:
        graph.compute_in_float(node)
    stored = graph.read(node, 0)
    params = graph.output_params(node)
    if params is not None:
        _write_integers(node, graph, (low, high), params)
        return
    tensor = graph.made(stored.index)
    name = _BY_LIMITS.get((low, high)) if tensor.dtype is DType.FLOAT else None
    value = graph.result(node)
    if name is not None:
        graph.emit(name, [stored.index], [graph.tensor(value, stored.order)])
        return
    kind = (tensor.dtype or DType.FLOAT).numpy
    bounds = (-np.inf, np.inf) if tensor.dtype in {DType.FLOAT, None} else (tensor.dtype or DType.FLOAT).integer_range
    limits = [
        (operator, np.asarray(np.clip(limit, *bounds), kind))
        for operator, limit, open_end in (("MAXIMUM", low, -np.inf), ("MINIMUM", high, np.inf))
        if limit != open_end
    ]
    _write_limits(node, graph, stored.index, stored.order, limits, None)


def _write_integers(node: ir.Node, graph: ExportGraph, limits: tuple[float, float], params: QuantParams) -> None:
    """Brings the integers to the output's parameters first: only RELU rescales in every interpreter."""
    stored = graph.read(node, 0)
    x = stored.index
    smallest, largest = params.dtype.integer_range
    first, last = (
        edge if np.isinf(limit) else int(quantize(np.asarray(limit, np.float32), params))
        for limit, edge in zip(limits, (smallest, largest), strict=True)
    )
    needed = [
        (operator, np.asarray(limit, params.dtype.numpy))
        for operator, limit, edge in (("MAXIMUM", first, smallest), ("MINIMUM", last, largest))
        if limit != edge
    ]
    name = _BY_LIMITS.get(limits)
    if name == "RELU" and needed:
        graph.emit("RELU", [x], [graph.tensor(graph.result(node), stored.order)])
        return
    same = graph.made(x).quant == params
    if not needed:
        value = graph.result(node)
        if same:
            graph.place(value, x, stored.order)
        else:
            graph.emit("QUANTIZE", [x], [graph.tensor(value, stored.order)])
        return
    if not same:
        brought = graph.scratch(f"{node.name}_brought", graph.made(x).shape, params.dtype, params)
        graph.emit("QUANTIZE", [x], [brought])
        x = brought
    if name == "RELU6" and params.dtype is not DType.INT16:
        graph.emit(name, [x], [graph.tensor(graph.result(node), stored.order)])
        return
    _write_limits(node, graph, x, stored.order, needed, params)


def _write_limits(
    node: ir.Node,
    graph: ExportGraph,
    x: int,
    order: Order,
    limits: list[tuple[str, Array]],
    params: QuantParams | None,
) -> None:
    value = graph.result(node)
    if not limits:
        graph.place(value, x, order)
        return
    for operator, limit in limits[:-1]:
        made = graph.made(x)
        y = graph.scratch(f"{node.name}_part", made.shape, made.dtype or DType.FLOAT, made.quant)
        graph.emit(operator, [x, graph.constant_tensor(f"{node.name}_limit", limit, params=params)], [y])
        x = y
    operator, limit = limits[-1]
    constant = graph.constant_tensor(f"{node.name}_limit", limit, params=params)
    graph.emit(operator, [x, constant], [graph.tensor(value, order)])
