"""Writes the graph as an ordinary .tflite file that LiteRT and TensorFlow Lite Micro run with no edgert installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import onnx_ir as ir

from edgert.bundle import TensorSpec
from edgert.dtypes import DType
from edgert.errors import ModelError
from edgert.quant import QuantParams
from edgert_converters.control_flow import CONTROL_FLOW
from edgert_converters.layers import typed_shapes
from edgert_converters.ops import OPERATORS
from edgert_converters.tflite.drop_unused import drop_unused_tensors
from edgert_converters.tflite.export_graph import ExportGraph, Stored
from edgert_converters.tflite.layout import Order, channels_last, identity
from edgert_converters.tflite.model import TfModel, TfSignature, TfSubgraph
from edgert_converters.tflite.runtime_versions import minimum_runtime_blob
from edgert_converters.tflite.versions import with_versions
from edgert_converters.tflite.wide_integers import with_wide_integers
from edgert_converters.tflite.wide_windows import group_wide_windows
from edgert_converters.tflite.write import serialize_tflite
from edgert_converters.units import find_units, is_standard, static_params

__all__ = ["Describe", "TfliteFile", "export_tflite"]

_LAYOUTS = {3: ("NCW", "NWC"), 4: ("NCHW", "NHWC"), 5: ("NCDHW", "NDHWC")}
_SIGNATURE = "serving_default"


Describe: TypeAlias = Callable[[Sequence[TensorSpec], Sequence[TensorSpec]], Mapping[str, bytes]]
"""Inputs and outputs of a file in, named blobs out."""


@dataclass(frozen=True, slots=True)
class TfliteFile:
    """The bytes of a file and what they take and give: shapes and layouts as stored, parameters of integer tensors.

    `homes` says where each computed value of the model lies, by its ONNX name; of a quantized value the name of its
    integers. `ends` says where the outputs lie, in order: an output may be a copy in another axis order.
    """

    data: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    homes: Mapping[str, Stored] = field(default_factory=dict)
    ends: tuple[Stored, ...] = ()


def export_tflite(
    model: ir.Model,
    *,
    float_io: bool = False,
    for_xnnpack: bool = False,
    name: str = "main",
    describe: Describe | None = None,
) -> TfliteFile:
    """Returns a model as TFLite: float, or quantized as its QuantizeLinear and DequantizeLinear nodes say.

    A graph with DequantizeLinear on constants alone becomes dynamic range: int8 weights, float activations.

    Args:
        model: a clean, sorted graph; not changed.
        float_io: keep float inputs and outputs of a quantized model behind QUANTIZE and DEQUANTIZE; otherwise the file
            takes and gives the integers themselves.
        for_xnnpack: give operators that XNNPACK computes slowly another form with the same integers, which takes more
            bytes (wide_windows.py).
        name: of the graph.
        describe: gives the named blobs to store in the file, from what it takes and gives.

    Raises:
        ModelError: an operator has no TFLite counterpart; the node is named.
    """
    typed = typed_shapes(model)
    graph = ExportGraph(
        {name: shape for name, (shape, _) in typed.items()},
        find_units(model.graph),
        dynamic_batch=_has_dynamic_batch(model),
        types={name: dtype for name, (_, dtype) in typed.items()},
        hybrid=not any(is_standard(node, "QuantizeLinear") for node in model.graph),
    )
    stored_inputs = [_add_input(graph, value, float_io=float_io) for value in _inputs(model)]
    for node in model.graph:
        _write_node(graph, node)
    stored_outputs = [graph.add_output(value, integers=not float_io) for value in model.graph.outputs]
    written = with_wide_integers(graph.subgraph(name))
    subgraph, numbers = drop_unused_tensors(group_wide_windows(written) if for_xnnpack else written)
    ends = tuple(Stored(numbers[stored.index], stored.order) for stored in stored_outputs)
    homes = {
        value: Stored(numbers[stored.index], stored.order)
        for value, stored in graph.homes().items()
        if stored.index in numbers
    }
    inputs = tuple(
        _spec(model, value, subgraph, Stored(index, order))
        for value, order, index in zip(_inputs(model), stored_inputs, subgraph.inputs, strict=True)
    )
    outputs = tuple(
        _spec(model, value, subgraph, stored) for value, stored in zip(model.graph.outputs, ends, strict=True)
    )
    signature = TfSignature(
        _SIGNATURE,
        {spec.name: index for spec, index in zip(inputs, subgraph.inputs, strict=True)},
        {spec.name: index for spec, index in zip(outputs, subgraph.outputs, strict=True)},
    )
    subgraph = with_versions(subgraph)
    blobs = {
        "min_runtime_version": minimum_runtime_blob(subgraph.operators),
        **(describe(inputs, outputs) if describe is not None else {}),
    }
    file = TfModel((subgraph,), (signature,), blobs, "edgert")
    return TfliteFile(serialize_tflite(file), inputs, outputs, homes, ends)


def _write_node(graph: ExportGraph, node: ir.Node) -> None:
    if node in graph.done:
        return
    if is_standard(node, "DequantizeLinear"):
        return  # readers of floats ask for it
    if is_standard(node, "QuantizeLinear"):
        graph.quantize(node)
        return
    spec = OPERATORS.get(node.op_type) if node.domain in {"", "ai.onnx"} else None
    if spec is None or spec.to_tflite is None:
        why = "; control flow stays in ONNX" if node.op_type in CONTROL_FLOW else ""
        raise ModelError(f"{node.op_type} has no TFLite counterpart{why}", node=node.name)
    spec.to_tflite(node, graph)


def _inputs(model: ir.Model) -> list[ir.Value]:
    return [value for value in model.graph.inputs if value.name not in model.graph.initializers]


def _has_dynamic_batch(model: ir.Model) -> bool:
    shapes = [value.shape for value in _inputs(model)]
    return any(shape is not None and len(shape) > 0 and not isinstance(shape[0], int) for shape in shapes)


def _add_input(graph: ExportGraph, value: ir.Value, *, float_io: bool) -> Order:
    """Stores an input channels-last where every reader wants it so, else as the model declares it."""
    params = None if float_io else _input_params(value)
    rank = len(graph.shape(value))
    readers = _readers(value)
    wants = bool(readers) and all(node.op_type in _CHANNELS_LAST_READERS for node in readers)
    order = channels_last(rank) if wants and rank in _LAYOUTS else identity(rank)
    graph.add_input(value, order, params)
    return order


_CHANNELS_LAST_READERS = {"Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize"}


def _readers(value: ir.Value) -> list[ir.Node]:
    """Returns the nodes that read a value, looking through QuantizeLinear and DequantizeLinear."""
    found: list[ir.Node] = []
    for use in value.uses():
        if use.node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            found += _readers(use.node.outputs[0])
        else:
            found.append(use.node)
    return found


def _input_params(value: ir.Value) -> QuantParams | None:
    """Returns the parameters of an input that only one QuantizeLinear reads."""
    readers = [use.node for use in value.uses()]
    if len(readers) != 1 or not is_standard(readers[0], "QuantizeLinear"):
        return None
    params = static_params(readers[0])
    return params if params.axis is None else None


def _spec(model: ir.Model, value: ir.Value, subgraph: TfSubgraph, stored: Stored) -> TensorSpec:
    tensor = subgraph.tensors[stored.index]
    rank = len(tensor.shape)
    shape = tuple(None if size < 0 else size for size in tensor.signature or tensor.shape)
    moved = stored.order != identity(rank)
    layout = _LAYOUTS[rank][1] if moved and stored.order == channels_last(rank) and rank in _LAYOUTS else None
    return TensorSpec(str(value.name), shape, tensor.dtype or DType.FLOAT, layout, tensor.quant)
