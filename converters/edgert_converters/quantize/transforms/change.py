"""Carries a transform out: new constants where a region takes it up, float nodes behind the region's sources."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.passes.graph_edits import add_initializer
from edgert_converters.quantize.refusals import KEEP_FLOAT
from edgert_converters.quantize.transforms.region import Edit, Indices, Member, Region, Use

__all__ = ["ChannelChange", "Diagonal", "FloatNodes", "Floats", "change_model"]

Floats = NDArray[np.float64]


class ChannelChange(Protocol):
    """A transform T of a region's channels."""

    @property
    def inverse(self) -> ChannelChange:
        """T^-1."""
        ...

    def along(self, array: Floats, axis: int, channels: Indices, *, inverse: bool) -> Floats:
        """Returns T applied along one axis, or (inverse) T^-1 from the right: the other half of a product."""
        ...

    def insert(self, nodes: FloatNodes, value: ir.Value, member: Member) -> ir.Value:
        """Adds nodes that compute T of a value, and returns what they make."""
        ...


@dataclass(frozen=True, slots=True)
class Diagonal:
    """Multiplies channel c by `factor[c]`."""

    factor: Floats

    @property
    def inverse(self) -> Diagonal:
        """See ChannelChange."""
        return Diagonal(1.0 / self.factor)

    def along(self, array: Floats, axis: int, channels: Indices, *, inverse: bool) -> Floats:
        """See ChannelChange."""
        factor = self.of(channels)
        return array * (1.0 / factor if inverse else factor).reshape(-1, *[1] * (array.ndim - 1 - axis))

    def insert(self, nodes: FloatNodes, value: ir.Value, member: Member) -> ir.Value:
        """See ChannelChange."""
        rank = len(value.shape or ())
        factor = self.of(member.channels).reshape(-1, *[1] * (rank - 1 - member.axis))
        return nodes.add("Mul", [value, nodes.constant(factor)], value.shape)

    def of(self, channels: Indices) -> Floats:
        """The factors of the positions of an axis; 1 where a position is none of the region's."""
        return np.where(channels >= 0, self.factor[channels], 1.0)


class FloatNodes:
    """Adds nodes that stay float to a graph, with names of their own."""

    def __init__(self, graph: ir.Graph, base: str, reason: str) -> None:
        """`base` starts every name, `reason` is told by the plan."""
        self._graph, self._reason = graph, reason
        self._taken = {value.name for node in graph for value in node.outputs}
        self._base = base

    def add(self, op_type: str, inputs: list[ir.Value], shape: ir.Shape | None) -> ir.Value:
        """Adds one node and returns what it makes, float32 of the shape given."""
        name = self._base
        count = 1
        while name in self._taken:
            count += 1
            name = f"{self._base}_{count}"
        self._taken.add(name)
        node = ir.node(op_type, inputs, name=f"{name}.{op_type.lower()}")
        node.metadata_props[KEEP_FLOAT] = self._reason
        result = node.outputs[0]
        result.name, result.shape, result.type = name, shape, ir.TensorType(ir.DataType.FLOAT)
        self._graph.append(node)
        return result

    def constant(self, array: NDArray[np.float64] | NDArray[np.int64]) -> ir.Value:
        """Adds a constant, float64 rounded to float32."""
        kept = array.astype(np.float32) if array.dtype == np.float64 else array
        return add_initializer(self._graph, f"{self._base}.constant", kept)


def change_model(model: ir.Model, region: Region, change: ChannelChange, tag: str) -> None:
    """Carries a transform out in place; what the graph computes stays as it was but for rounding.

    Args:
        model: holds the region.
        region: of that very graph.
        change: the transform.
        tag: ends the names of what is added.
    """
    made: dict[tuple[object, ...], ir.Value] = {}
    for edit in region.edits:
        old = edit.node.inputs[edit.index]
        if old is None or old.const_value is None:
            raise AssertionError(f"input {edit.index} of {edit.node.name!r} is no constant")
        key = (old.name, edit.trailing, edit.inverse, edit.group, edit.channels.tobytes())
        if key not in made:
            array = _edited(old.const_value.numpy().astype(np.float64), edit, change)
            made[key] = add_initializer(model.graph, f"{old.name}.{tag}", array.astype(np.float32))
        edit.node.replace_input_with(edit.index, made[key])
    reason = f"put in by {tag}, before its output is quantized"
    for value, uses in region.sources.items():
        nodes = FloatNodes(model.graph, f"{value.name}__{tag}", reason)
        _serve(uses, change.insert(nodes, value, region.members[value]))
    reason = f"put in by {tag}, after its input was quantized"
    for value, uses in region.sinks.items():
        nodes = FloatNodes(model.graph, f"{value.name}__{tag}_back", reason)
        _serve(uses, change.inverse.insert(nodes, value, region.members[value]))
    model.graph.sort()


def _serve(uses: tuple[Use, ...], value: ir.Value) -> None:
    for node, index in uses:
        node.replace_input_with(index, value)


def _edited(array: Floats, edit: Edit, change: ChannelChange) -> Floats:
    size = edit.channels.size
    if edit.group > 1:
        return _grouped(array, edit, change)
    missing = edit.trailing + 1 - array.ndim
    if missing > 0:
        array = array.reshape(*[1] * missing, *array.shape)
    axis = array.ndim - 1 - edit.trailing
    if array.shape[axis] != size:
        array = np.repeat(array, size, axis=axis)
    return change.along(array, axis, edit.channels, inverse=edit.inverse)


def _grouped(array: Floats, edit: Edit, change: ChannelChange) -> Floats:
    """Weights [M, C / group, ...]: the rows of a group see their own channels."""
    rows = array.reshape(edit.group, -1, *array.shape[1:])
    parts = edit.channels.reshape(edit.group, -1)
    changed = [
        _edited(part, replace(edit, channels=channels, group=1), change)
        for part, channels in zip(rows, parts, strict=True)
    ]
    return np.stack(changed).reshape(array.shape)
