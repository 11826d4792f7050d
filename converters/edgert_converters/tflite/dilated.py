"""Takes out TFLite's old form of a dilated convolution: SPACE_TO_BATCH_ND, convolution, BATCH_TO_SPACE_ND.

The three compute what one convolution with dilation = block computes on the input padded by paddings - crops.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgert.dtypes import DType
from edgert_converters.tflite.model import TfOperator, TfSubgraph, TfTensor

__all__ = ["merge_dilated"]

Ints = NDArray[np.int64]

_CONVOLUTIONS = {"CONV_2D", "DEPTHWISE_CONV_2D"}
_VALID = 1


def merge_dilated(graph: TfSubgraph) -> TfSubgraph:
    """Returns the graph with every such triple as an optional PAD and one convolution.

    Left alone: a convolution with a stride, SAME padding or a dilation of its own, other readers in between, and crops
    larger than the padding.
    """
    tensors, operators = list(graph.tensors), list(graph.operators)
    for first in graph.operators:
        found = _triple(first, graph)
        if found is None:
            continue
        convolution, last, pads = found
        place = operators.index(convolution)
        source = first.inputs[0]
        merged: list[TfOperator] = []
        if pads.any():
            source = _pad(first, pads, tensors, merged)
        block_h, block_w = (int(size) for size in _ints(graph, first.inputs[1]))
        options = {**convolution.options, "dilation_h_factor": block_h, "dilation_w_factor": block_w}
        inputs = (source, *convolution.inputs[1:])
        merged.append(replace(convolution, inputs=inputs, outputs=last.outputs, options=options))
        operators[place : place + 1] = merged
        operators = [operator for operator in operators if operator is not first and operator is not last]
    return replace(graph, tensors=tuple(tensors), operators=tuple(operators))


def _triple(first: TfOperator, graph: TfSubgraph) -> tuple[TfOperator, TfOperator, Ints] | None:
    if first.name != "SPACE_TO_BATCH_ND":
        return None
    convolution = _only_reader(first, graph)
    last = None if convolution is None else _only_reader(convolution, graph)
    if convolution is None or last is None or convolution.name not in _CONVOLUTIONS:
        return None
    steps = [convolution.options.get(f"stride_{axis}", 1) for axis in "hw"]
    steps += [convolution.options.get(f"dilation_{axis}_factor", 1) for axis in "hw"]
    if last.name != "BATCH_TO_SPACE_ND" or steps != [1] * 4 or convolution.options.get("padding") != _VALID:
        return None
    block, paddings = _ints(graph, first.inputs[1]), _ints(graph, first.inputs[2])
    if block.size != 2 or paddings.size != 4 or not np.array_equal(block, _ints(graph, last.inputs[1])):
        return None
    crops = _ints(graph, last.inputs[2])
    if crops.size != 4 or (paddings < crops).any():
        return None
    return convolution, last, (paddings - crops).reshape(2, 2)


def _only_reader(operator: TfOperator, graph: TfSubgraph) -> TfOperator | None:
    output = operator.outputs[0]
    readers = [other for other in graph.operators if output in other.inputs]
    alone = len(readers) == 1 and readers[0].inputs[0] == output and output not in graph.outputs
    return readers[0] if alone else None


def _ints(graph: TfSubgraph, index: int) -> Ints:
    data = graph.tensors[index].data if index >= 0 else None
    return np.zeros(0, np.int64) if data is None else data.astype(np.int64).reshape(-1)


def _pad(
    first: TfOperator,
    pads: Ints,
    tensors: list[TfTensor],
    merged: list[TfOperator],
) -> int:
    """Adds a PAD of the first operator's input and returns its output."""
    source = tensors[first.inputs[0]]
    amounts = np.concatenate([np.zeros((1, 2), np.int32), pads.astype(np.int32), np.zeros((1, 2), np.int32)])
    shape = tuple(size + int(pair.sum()) for size, pair in zip(source.shape, amounts, strict=True))
    tensors.append(TfTensor(f"{source.name}_pads", amounts.shape, DType.INT32, amounts))
    tensors.append(replace(source, name=f"{source.name}_padded", shape=shape, signature=_widened(source, amounts)))
    merged.append(TfOperator("PAD", (first.inputs[0], len(tensors) - 2), (len(tensors) - 1,)))
    return len(tensors) - 1


def _widened(source: TfTensor, amounts: NDArray[np.int32]) -> tuple[int, ...] | None:
    if source.signature is None:
        return None
    pairs = zip(source.signature, amounts, strict=True)
    return tuple(size if size < 0 else size + int(pair.sum()) for size, pair in pairs)
