"""Leaves out the tensors of a finished subgraph that nothing reads or writes, and numbers the others anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgert_converters.tflite.model import TfSubgraph

__all__ = ["drop_unused_tensors"]


def drop_unused_tensors(graph: TfSubgraph) -> tuple[TfSubgraph, Mapping[int, int]]:
    """Returns the graph without tensors that no operator, input or output names, and the new number of each old one."""
    used = {*graph.inputs, *graph.outputs}
    for operator in graph.operators:
        used.update(index for index in (*operator.inputs, *operator.outputs) if index >= 0)
    numbers = {old: new for new, old in enumerate(sorted(used))}
    moved = {-1: -1, **numbers}
    operators = tuple(
        replace(item, inputs=tuple(moved[i] for i in item.inputs), outputs=tuple(moved[i] for i in item.outputs))
        for item in graph.operators
    )
    return (
        TfSubgraph(
            tuple(graph.tensors[old] for old in sorted(used)),
            operators,
            tuple(numbers[i] for i in graph.inputs),
            tuple(numbers[i] for i in graph.outputs),
            graph.name,
        ),
        numbers,
    )
