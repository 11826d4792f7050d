"""Follows the channels that one weighted operator makes to every operator that sums over them.

A path ends in weighted operators only: where anything else reads a channel (a sum, an output), its scale is not ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgert_converters.passes.graph_edits import constant_array
from edgert_converters.quantize.weighted import int_attribute

__all__ = ["ChannelPath", "Reader", "find_paths"]

_MAKERS = frozenset({"Conv", "ConvTranspose", "Gemm"})
_READERS = frozenset({"Conv", "ConvTranspose", "Gemm"})
_CHANNELWISE = frozenset({"MaxPool", "GlobalMaxPool", "AveragePool", "GlobalAveragePool", "Identity", "Dropout"})
"""Work on each channel alone and let a positive factor through."""
_ACTIVATIONS = frozenset({"Relu", "LeakyRelu"})


@dataclass(frozen=True, slots=True)
class Reader:
    """A weighted operator that sums over the channels: its input channel k holds channel `channels[k]` of the maker."""

    node: ir.Node
    channels: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChannelPath:
    """`maker` gives `count` channels; `values` carry them, the maker's output first.

    `clip` is the upper limit of a Clip from 0 on the way, `activations` the clamps, `pads` what fills in zeros.
    """

    maker: ir.Node
    count: int
    values: tuple[ir.Value, ...]
    readers: tuple[Reader, ...]
    activations: tuple[ir.Node, ...]
    clip: float | None
    pads: bool


class _NoPathError(Exception):
    """Something reads the channels that cannot undo a scale."""


def find_paths(model: ir.Model) -> list[ChannelPath]:
    """Returns the paths of a graph, in graph order of their makers."""
    return [path for node in model.graph if node.op_type in _MAKERS and (path := _follow(node)) is not None]


def _follow(maker: ir.Node) -> ChannelPath | None:
    if constant_array(maker.inputs[1]) is None or static_dims_but_batch(maker.outputs[0]) is None:
        return None
    if len(maker.inputs) > 2 and maker.inputs[2] is not None and constant_array(maker.inputs[2]) is None:
        return None
    walk = _Walk()
    dims = static_dims_but_batch(maker.outputs[0])
    count = dims[1] if dims is not None else 0
    try:
        walk.visit(maker.outputs[0], 1, np.arange(count))
    except _NoPathError:
        return None
    if not walk.readers:
        return None
    return ChannelPath(
        maker, count, tuple(walk.values), tuple(walk.readers), tuple(walk.activations), walk.clip, walk.pads
    )


def static_dims_but_batch(value: ir.Value) -> tuple[int, ...] | None:
    """Returns the shape with 1 for an open batch axis; None where anything else is open or there is no channel axis."""
    if value.shape is None or len(value.shape) < 2:
        return None
    dims = [1 if axis == 0 and not isinstance(dim, int) else dim for axis, dim in enumerate(value.shape)]
    sizes = tuple(dim for dim in dims if isinstance(dim, int))
    return sizes if len(sizes) == len(dims) else None


class _Walk:
    def __init__(self) -> None:
        self.values: list[ir.Value] = []
        self.readers: list[Reader] = []
        self.activations: list[ir.Node] = []
        self.clip: float | None = None
        self.pads = False

    def visit(self, value: ir.Value, axis: int, channels: NDArray[np.int64]) -> None:
        if value.is_graph_output() or not value.uses():
            raise _NoPathError
        self.values.append(value)
        for node, index in value.uses():
            if index != 0 or node.graph is not value.graph or node.domain not in {"", "ai.onnx"}:
                raise _NoPathError
            self._step(node, axis, channels)

    def _step(self, node: ir.Node, axis: int, channels: NDArray[np.int64]) -> None:
        if node.op_type in _READERS:
            self._end(node, axis, channels)
            return
        if len(node.outputs) > 1 and any(value.name for value in node.outputs[1:]):
            raise _NoPathError
        if node.op_type in _ACTIVATIONS or node.op_type == "Clip":
            self.activations.append(node)
            self._note_clip(node)
        elif node.op_type == "Transpose":
            order = node.attributes["perm"].as_ints() if "perm" in node.attributes else ()
            if axis not in order:
                raise _NoPathError
            axis = list(order).index(axis)
        elif node.op_type in {"Flatten", "Reshape"}:
            channels = _flattened(node, axis, channels)
            axis = 1
        elif node.op_type == "Pad":
            self._check_pad(node, axis)
        elif node.op_type not in _CHANNELWISE or axis != 1:
            raise _NoPathError
        self.visit(node.outputs[0], axis, channels)

    def _end(self, node: ir.Node, axis: int, channels: NDArray[np.int64]) -> None:
        weight = constant_array(node.inputs[1])
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        if weight is None or axis != 1 or (bias is not None and constant_array(bias) is None):
            raise _NoPathError
        if node.op_type == "Gemm" and int_attribute(node, "transA", 0):
            raise _NoPathError
        if node.op_type == "Conv" and weight.shape[1] * int_attribute(node, "group", 1) != channels.size:
            raise _NoPathError
        padding = node.attributes["pads"].as_ints() if "pads" in node.attributes else ()
        self.pads = self.pads or any(padding) or "auto_pad" in node.attributes or node.op_type == "ConvTranspose"
        self.readers.append(Reader(node, channels))

    def _note_clip(self, node: ir.Node) -> None:
        if node.op_type != "Clip":
            return
        ends = [constant_array(value) for value in node.inputs[1:3]]
        if len(ends) != 2 or ends[0] is None or ends[1] is None or float(ends[0].ravel()[0]) != 0.0:
            raise _NoPathError
        limit = float(ends[1].ravel()[0])
        self.clip = limit if self.clip is None else min(self.clip, limit)

    def _check_pad(self, node: ir.Node, axis: int) -> None:
        mode = node.attributes.get_string("mode", "constant")
        pads = constant_array(node.inputs[1]) if len(node.inputs) > 1 else None
        fill = constant_array(node.inputs[2]) if len(node.inputs) > 2 else np.zeros(1)
        if pads is None or len(node.inputs) > 3 or fill is None or (mode == "constant" and np.any(fill != 0)):
            raise _NoPathError
        if pads[axis] or pads[axis + pads.size // 2]:
            raise _NoPathError
        self.pads = True


def _flattened(node: ir.Node, axis: int, channels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Channels of [N, C * ...] made of [N, C, ...]: each stands once per position."""
    value = node.inputs[0]
    before = None if value is None else static_dims_but_batch(value)
    after = static_dims_but_batch(node.outputs[0])
    if before is None or after is None or axis != 1 or len(after) != 2 or after[0] != before[0]:
        raise _NoPathError
    return np.repeat(channels, after[1] // channels.size)
