"""Follows an axis through operators that only move numbers."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert_converters.quantize.transforms.region import Indices, Member
from edgert_converters.quantize.weighted import int_attribute

__all__ = ["MOVERS", "Step", "dimension", "follow"]

Step = tuple[ir.Value, Member]
"""A value and how it belongs to the region."""

_RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
MOVERS = _RESHAPES | {"Transpose", "Identity", "Dropout", "Gather", "Split", "Concat"}
"""Operators that `follow` knows."""


def dimension(value: ir.Value, axis: int) -> int | None:
    """The size of one axis; None where it is not known."""
    if value.shape is None or not 0 <= axis < len(value.shape):
        return None
    size = value.shape[axis]
    return size if isinstance(size, int) else None


def follow(node: ir.Node, value: ir.Value, member: Member) -> list[Step] | None:
    """Returns what else belongs to the region when one value of a mover does.

    Args:
        node: its operator is in `MOVERS`.
        value: an input or output of it.
        member: how that belongs to the region.

    Returns:
        The other values, or None where the axis cannot be followed.
    """
    x, y = node.inputs[0], node.outputs[0]
    if x is None or x.shape is None or y.shape is None:
        return None
    forward = value is not y and value not in node.outputs
    if node.op_type == "Concat":
        return _concat(node, value, member)
    if node.op_type == "Split":
        return _split(node, x, value, member)
    if forward and value is not x:
        return None
    target = y if forward else x
    if node.op_type == "Gather":
        return _gather(node, target, member, forward)
    axis = _moved_axis(node, value, target, member.axis, forward)
    return None if axis is None else [(target, Member(axis, member.channels))]


def _moved_axis(node: ir.Node, value: ir.Value, target: ir.Value, axis: int, forward: bool) -> int | None:
    if node.op_type == "Transpose":
        order = node.attributes["perm"].as_ints() if "perm" in node.attributes else None
        if order is None:
            return None
        return list(order).index(axis) if forward else order[axis]
    if node.op_type not in _RESHAPES:
        return axis
    sizes, inner = [*(value.shape or ())], [*(value.shape or ())][axis + 1 :]
    for place, size in enumerate(target.shape or ()):
        if size == sizes[axis] and _as_many(inner, [*(target.shape or ())][place + 1 :]):
            return place
    return None


def _as_many(one: list[int | ir.SymbolicDim], other: list[int | ir.SymbolicDim]) -> bool:
    if all(isinstance(size, int) for size in (*one, *other)):
        return int(np.prod([int(str(size)) for size in one])) == int(np.prod([int(str(size)) for size in other]))
    return one == other


def _gather(node: ir.Node, target: ir.Value, member: Member, forward: bool) -> list[Step] | None:
    """An axis that is not gathered moves by the rank of the indices; one that is, is not followed."""
    indices = node.inputs[1]
    if indices is None or indices.shape is None:
        return None
    x = node.inputs[0]
    rank = len(x.shape) if x is not None and x.shape is not None else 0
    gathered = int_attribute(node, "axis", 0) % max(rank, 1)
    added = len(indices.shape) - 1
    axis = member.axis
    if forward:
        if axis == gathered:
            return None
        return [(target, Member(axis if axis < gathered else axis + added, member.channels))]
    if gathered <= axis <= gathered + added:
        return None
    return [(target, Member(axis if axis < gathered else axis - added, member.channels))]


def _split(node: ir.Node, x: ir.Value, value: ir.Value, member: Member) -> list[Step] | None:
    axis = int_attribute(node, "axis", 0) % len(x.shape or (0,))
    if axis != member.axis:
        return [(other, member) for other in (x, *node.outputs) if other is not value]
    sizes = [dimension(output, axis) for output in node.outputs]
    known = [size for size in sizes if size is not None]
    if len(known) != len(sizes):
        return None
    starts = np.cumsum([0, *known])
    if value is x:
        parts = [member.channels[a:b] for a, b in zip(starts, starts[1:], strict=False)]
        return [(output, Member(axis, part)) for output, part in zip(node.outputs, parts, strict=True)]
    place = list(node.outputs).index(value)
    return [(x, Member(axis, _part(int(starts[-1]), int(starts[place]), member.channels)))]


def _concat(node: ir.Node, value: ir.Value, member: Member) -> list[Step] | None:
    y, inputs = node.outputs[0], [source for source in node.inputs if source is not None]
    axis = int_attribute(node, "axis", 0) % len(y.shape or (0,))
    if any(source.const_value is not None for source in inputs):
        return None
    if axis != member.axis:
        return [(other, member) for other in (y, *inputs) if other is not value]
    sizes = [dimension(source, axis) for source in inputs]
    known = [size for size in sizes if size is not None]
    if len(known) != len(sizes):
        return None
    starts = np.cumsum([0, *known])
    if value is y:
        parts = [member.channels[a:b] for a, b in zip(starts, starts[1:], strict=False)]
        return [(source, Member(axis, part)) for source, part in zip(inputs, parts, strict=True) if (part >= 0).any()]
    places = [place for place, source in enumerate(inputs) if source is value]
    return [(y, Member(axis, _part(int(starts[-1]), int(starts[place]), member.channels))) for place in places]


def _part(size: int, start: int, channels: Indices) -> Indices:
    whole = np.full(size, -1, np.int64)
    whole[start : start + channels.size] = channels
    return whole
