"""Runs If, Loop and Scan in numpy for the interpreter; their bodies are graphs like any other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnx_ir as ir

from edgert.errors import ModelError
from edgert_converters.ops.attributes import get_ints
from edgert_converters.ops.nodes import build_attributes, read_opset
from edgert_converters.ops.spec import Array, Node

__all__ = ["Body", "RunBody", "load_control_flow"]

_FIRST_SCAN_OPSET = 9
"""Scan had a batch axis of its own in opset 8."""


class RunBody(Protocol):
    """Runs a body once."""

    def __call__(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """Returns the body's outputs by name for its inputs and everything it reads from outside, by name."""
        ...


@dataclass(frozen=True, slots=True)
class Body:
    """One body: its input and output values in order, and how it runs."""

    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]
    run: RunBody

    def __call__(self, arrays: Sequence[Array], outside: Mapping[str, Array]) -> list[Array]:
        """Returns the outputs in order."""
        given = dict(outside)
        given.update((str(value.name), array) for value, array in zip(self.inputs, arrays, strict=True))
        results = self.run(given)
        return [results[str(value.name)] for value in self.outputs]


Execute = Callable[[Sequence[Array | None], Mapping[str, Array]], list[Array]]


def load_control_flow(node: ir.Node, plan: Callable[[ir.Graph], RunBody]) -> Execute:
    """Returns a function of the node's inputs and the values its bodies read from outside that gives its outputs.

    Args:
        node: If, Loop or Scan; not changed.
        plan: makes a runner of a graph, which belongs to the caller.

    Raises:
        ModelError: the node lacks a body, or is a Scan of opset 8.
    """
    opset = read_opset(node)
    spec = Node(node.op_type, node.name or "", build_attributes(node), (), (), {}, opset)
    if node.op_type == "If":
        yes, no = (_load_body(node, name, opset, plan) for name in ("then_branch", "else_branch"))
        return lambda inputs, outside: (yes if _truth(inputs[0]) else no)([], outside)
    body = _load_body(node, "body", opset, plan)
    if node.op_type == "Loop":
        return lambda inputs, outside: _loop(body, inputs, outside)
    if opset < _FIRST_SCAN_OPSET:
        raise ModelError(f"Scan of opset {opset} is not supported; export with opset 18", node=spec.name)
    count = node.attributes.get_int("num_scan_inputs", 0)
    return lambda inputs, outside: _scan(spec, count, body, inputs, outside)


def _load_body(node: ir.Node, name: str, opset: int, plan: Callable[[ir.Graph], RunBody]) -> Body:
    attribute = node.attributes.get(name)
    if attribute is None or attribute.type != ir.AttributeType.GRAPH:
        raise ModelError(f"{node.op_type} has no {name}", node=node.name)
    # a copy, because a body's nodes ask their own graph for the opset, which the file states for the model only
    graph = attribute.as_graph().clone(allow_outer_scope_values=True)
    graph.opset_imports[""] = opset
    return Body(tuple(graph.inputs), tuple(graph.outputs), plan(graph))


def _truth(value: Array | None) -> bool:
    return value is None or bool(value.reshape(-1)[0])


def _loop(body: Body, inputs: Sequence[Array | None], outside: Mapping[str, Array]) -> list[Array]:
    """Runs while the condition holds and the trip count allows; absent ones always do."""
    limit = None if inputs[0] is None else int(inputs[0].reshape(-1)[0])
    alive = _truth(inputs[1] if len(inputs) > 1 else None)
    carried = [value for value in inputs[2:] if value is not None]
    collected: list[list[Array]] = [[] for _ in body.outputs[1 + len(carried) :]]
    for step in itertools.count():
        if not alive or (limit is not None and step >= limit):
            break
        results = body([np.asarray(step, np.int64), np.asarray(alive), *carried], outside)
        alive = _truth(results[0])
        carried, scanned = results[1 : 1 + len(carried)], results[1 + len(carried) :]
        for part, value in zip(collected, scanned, strict=True):
            part.append(value)
    values = body.outputs[1 + len(carried) :]
    return [*carried, *(_stack(part, value, 0) for part, value in zip(collected, values, strict=True))]


def _scan(
    node: Node, count: int, body: Body, inputs: Sequence[Array | None], outside: Mapping[str, Array]
) -> list[Array]:
    given = [value for value in inputs if value is not None]
    carried, sequences = given[: len(given) - count], given[len(given) - count :]
    states = len(carried)
    axes = get_ints(node, "scan_input_axes", (0,) * count)
    backwards = get_ints(node, "scan_input_directions", (0,) * count)
    parts = [np.moveaxis(x, axis, 0) for x, axis in zip(sequences, axes, strict=True)]
    parts = [x[::-1] if back else x for x, back in zip(parts, backwards, strict=True)]
    collected: list[list[Array]] = [[] for _ in body.outputs[states:]]
    for step in range(len(parts[0])):
        results = body([*carried, *(x[step] for x in parts)], outside)
        carried = results[:states]
        for part, value in zip(collected, results[states:], strict=True):
            part.append(value)
    out_axes = get_ints(node, "scan_output_axes", (0,) * len(collected))
    turned = get_ints(node, "scan_output_directions", (0,) * len(collected))
    stacked = [
        _stack(part[::-1] if back else part, value, axis)
        for part, value, axis, back in zip(collected, body.outputs[states:], out_axes, turned, strict=True)
    ]
    return [*carried, *stacked]


def _stack(parts: Sequence[Array], value: ir.Value, axis: int) -> Array:
    """Returns the steps' values along `axis`; none at all give an empty tensor of what the body declares."""
    if parts:
        return np.stack(parts, axis=axis)
    dims = [dim if isinstance(dim, int) else 0 for dim in value.shape or ()]
    dims.insert(axis % (len(dims) + 1), 0)
    dtype = np.dtype(np.float32) if value.dtype is None else value.dtype.numpy()
    return np.zeros(dims, dtype)
