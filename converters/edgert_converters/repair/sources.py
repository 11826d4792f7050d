"""Where rounding enters a quantized graph: weights of an operator or an activation, each one alone in a float graph.

The noise of small roundings adds up in power at the outputs: what one source adds alone is what taking it away gains.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert.quant import QuantParams, dequantize
from edgert_converters.quantize.insert import add_initializer
from edgert_converters.quantize.plan import Plan
from edgert_converters.quantize.weighted import read_weighted, weighted_nodes

__all__ = ["Source", "SourceKind", "isolate", "list_sources"]


class SourceKind(enum.Enum):
    """What is rounded."""

    WEIGHTS = "weights"
    ACTIVATION = "activation"


@dataclass(frozen=True, slots=True)
class Source:
    """One place where rounding enters: `name` is a node (weights) or a value (activation) of the float graph.

    `layer` and `op` are the operator that holds the weights or makes the activation ("" for an input of the graph).
    """

    kind: SourceKind
    name: str
    layer: str
    op: str


def list_sources(model: ir.Model, plan: Plan) -> Iterator[Source]:
    """Yields the sources of a plan in graph order.

    Args:
        model: the float graph the plan was made for.
        plan: its weights are rounded.
    """
    for value in model.graph.inputs:
        if value.name in plan.params:
            yield Source(SourceKind.ACTIVATION, str(value.name), "", "")
    weighted = {node.name for node in weighted_nodes(model, plan.integer_nodes)}
    for node in model.graph:
        if node.name in weighted:
            yield Source(SourceKind.WEIGHTS, str(node.name), str(node.name), node.op_type)
        for value in node.outputs:
            if value.name in plan.params and not _moves(node, plan):
                yield Source(SourceKind.ACTIVATION, str(value.name), str(node.name), node.op_type)


def isolate(
    model: ir.Model, plan: Plan, source: Source, channels: tuple[int, NDArray[np.bool_]] | None = None
) -> ir.Model:
    """Returns a copy of the float graph in which only one source is rounded.

    Args:
        model: the float graph the plan was made for; not changed.
        plan: its weights are rounded.
        source: one of `list_sources`.
        channels: an axis of the activation or of the weights and bool[channels]: round only where True; None: all.
    """
    copy = model.clone()
    if source.kind is SourceKind.WEIGHTS:
        _round_weights(copy.graph, plan, source.name, channels)
    else:
        _round_activation(copy.graph, source.name, plan.params[source.name], channels)
    return copy


def _moves(node: ir.Node, plan: Plan) -> bool:
    """True for an operator that hands on its input's integers: it rounds nothing."""
    params = [plan.params.get(str(value.name)) for value in (node.inputs[0], node.outputs[0]) if value is not None]
    return len(params) == 2 and params[0] is params[1] and node.name in plan.integer_nodes


def _round_weights(graph: ir.Graph, plan: Plan, name: str, channels: tuple[int, NDArray[np.bool_]] | None) -> None:
    node = next(node for node in graph if node.name == name)
    weighted, rounded = read_weighted(node), plan.weights[name]
    weight = dequantize(rounded.weight, rounded.weight_params)
    if channels is not None:
        shape = [1] * weight.ndim
        shape[channels[0]] = -1
        weight = np.where(channels[1].reshape(shape), weight, weighted.weight)
    for factor in ("alpha", "beta"):
        node.attributes.pop(factor, None)  # read_weighted has multiplied them in
    node.replace_input_with(1, add_initializer(graph, f"{name}.rounded", weight.astype(np.float32)))
    if rounded.bias is not None and rounded.bias_params is not None and channels is None:
        bias = dequantize(rounded.bias, rounded.bias_params)
        node.replace_input_with(2, add_initializer(graph, f"{name}.rounded_bias", bias.astype(np.float32)))


def _round_activation(
    graph: ir.Graph, name: str, params: QuantParams, channels: tuple[int, NDArray[np.bool_]] | None
) -> None:
    values = {value.name: value for node in graph for value in node.outputs} | {v.name: v for v in graph.inputs}
    value = values[name]
    readers = list(value.uses())
    scale = add_initializer(graph, f"{name}.scale", np.asarray(params.scale[0], np.float32))
    zero_point = add_initializer(graph, f"{name}.zero", np.asarray(params.zero_point[0], params.dtype.numpy))
    quantized = ir.node("QuantizeLinear", [value, scale, zero_point])
    restored = ir.node("DequantizeLinear", [quantized.outputs[0], scale, zero_point])
    graph.extend([quantized, restored])
    rounded = restored.outputs[0]
    if channels is not None:
        rank = len(value.shape) if value.shape is not None else channels[0] + 1
        shape = [1] * rank
        shape[channels[0]] = -1
        mask = add_initializer(graph, f"{name}.mask", channels[1].reshape(shape))
        chosen = ir.node("Where", [mask, rounded, value])
        graph.append(chosen)
        rounded = chosen.outputs[0]
    rounded.name, rounded.type, rounded.shape = f"{name}.rounded", value.type, value.shape
    for node, index in readers:
        node.replace_input_with(index, rounded)
    for index, output in enumerate(graph.outputs):
        if output is value:
            value.name = f"{name}.float"
            rounded.name = name
            graph.outputs[index] = rounded
    graph.sort()
