"""What a user should know about a .tflite file that was read: what its precision means here, what was left out."""

from __future__ import annotations

from collections.abc import Iterator

from edgert.dtypes import DType
from edgert_converters.tflite.model import TfModel, TfSubgraph
from edgert_converters.tflite.state import STARTS_AFRESH, StateBinding

__all__ = ["file_notes", "has_wide_integers"]

_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D", "BATCH_MATMUL"}
_SHOWN = 4


def has_wide_integers(graph: TfSubgraph) -> bool:
    """True when a tensor is quantized to 16 bits, which ONNX carries from opset 21 on."""
    return any(
        tensor.quant is not None and tensor.quant.dtype in {DType.INT16, DType.UINT16} for tensor in graph.tensors
    )


def file_notes(file: TfModel, graph: TfSubgraph, states: tuple[StateBinding, ...]) -> tuple[str, ...]:
    """Returns one line for each thing that is worth knowing; `graph` is the subgraph that is converted."""
    return tuple(_notes(file, graph, states))


def _notes(file: TfModel, graph: TfSubgraph, states: tuple[StateBinding, ...]) -> Iterator[str]:
    others = [entry.key for entry in file.signatures[1:]]
    if others:
        named = ", ".join(map(repr, others[:_SHOWN])) + (", ..." if len(others) > _SHOWN else "")
        yield f"the file has {len(file.signatures)} signatures; {file.signatures[0].key!r} is read, not {named}"
    yield from _varying_axes(graph)
    hybrid = _hybrid_operators(graph)
    if hybrid:
        yield (
            f"dynamic range: {hybrid} operators have integer weights and float activations; here they compute in float "
            "with the stored weights, LiteRT quantizes their activations at run time"
        )
    if any(tensor.dtype is DType.FLOAT16 and tensor.data is not None for tensor in graph.tensors):
        yield "weights are stored as float16; the graph computes with them in float32, as LiteRT does"
    if has_wide_integers(graph):
        yield "activations of 16 bits need opset 21, which ONNX Runtime reads from 1.18 on"
    fresh = sorted({operator.name for operator in graph.operators if operator.name in STARTS_AFRESH})
    if fresh:
        yield (
            f"{', '.join(fresh)}: here its state is zero at the start of every run; TFLite keeps it from run to run "
            "until it is reset"
        )
    if states:
        pairs = ", ".join(f"{state.output} -> {state.input}" for state in states)
        start = sorted({state.initial for state in states})
        value = f"{start[0]:g}" if len(start) == 1 else "their initial values (stored in the model)"
        yield (
            f"a streaming model with {len(states)} states: feed each output to the input of the next step ({pairs}) "
            f"and start with every state at {value}"
        )


def _varying_axes(graph: TfSubgraph) -> Iterator[str]:
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if tensor.signature is not None and any(size < 0 for size in tensor.signature[1:]):
            yield (
                f"input {tensor.name!r} declares the shape {list(tensor.signature)}; it is read with the sizes "
                f"stored in the file, {list(tensor.shape)}"
            )


def _hybrid_operators(graph: TfSubgraph) -> int:
    count = 0
    for operator in graph.operators:
        if operator.name not in _WEIGHTED or len(operator.inputs) < 2 or min(operator.inputs[:2]) < 0:
            continue
        first, second = (graph.tensors[index] for index in operator.inputs[:2])
        x, w = (second, first) if operator.name == "TRANSPOSE_CONV" else (first, second)
        count += w.data is not None and w.quant is not None and x.dtype is DType.FLOAT
    return count
