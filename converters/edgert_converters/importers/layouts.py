"""Names the layout of a model's inputs and outputs where its operators tell it: NCHW, NHWC and the like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from edgert.bundle import TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["name_layouts"]

_NAMES: Final = {3: ("NCW", "NWC"), 4: ("NCHW", "NHWC"), 5: ("NCDHW", "NDHWC")}
_IMAGE_READERS: Final = {
    "AveragePool",
    "BatchNormalization",
    "Conv",
    "ConvTranspose",
    "DepthToSpace",
    "GlobalAveragePool",
    "MaxPool",
    "Resize",
    "SpaceToDepth",
}
_SAME_AXES: Final = {
    "Add",
    "Cast",
    "Clip",
    "Concat",
    "DequantizeLinear",
    "Div",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Mul",
    "Pad",
    "QuantizeLinear",
    "Relu",
    "Sigmoid",
    "Slice",
    "Sub",
    "Tanh",
}

Axes = tuple[int, ...]


def name_layouts(
    model: ir.Model, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Returns the specs with the layout of every tensor that an image operator reads or makes, or None where none does.

    Between the operator and the border stand at most element-wise operators, padding and Transpose.
    """
    values = {str(value.name): value for value in (*model.graph.inputs, *model.graph.outputs)}
    found_in = tuple(replace(spec, layout=_name(_read(values.get(spec.name), len(spec.shape)))) for spec in inputs)
    found_out = tuple(replace(spec, layout=_name(_made(values.get(spec.name), len(spec.shape)))) for spec in outputs)
    return found_in, found_out


def _name(axes: Axes | None) -> str | None:
    """Returns the name for a tensor whose axes stand, in an image operator's order N, C, spatial..., at `axes`."""
    if axes is None or len(axes) not in _NAMES:
        return None
    letters = _NAMES[len(axes)][0]
    name = "".join(letters[axes.index(axis)] for axis in range(len(axes)))
    return name if name in _NAMES[len(axes)] else None


def _read(value: ir.Value | None, rank: int) -> Axes | None:
    """Returns at which axis of an input the first image operator behind it finds N, C, spatial...."""
    pending: list[tuple[ir.Value | None, Axes]] = [(value, tuple(range(rank)))]
    seen: set[ir.Node] = set()
    while pending:
        current, axes = pending.pop(0)
        for use in current.uses() if current is not None else ():
            node = use.node
            if node in seen:
                continue
            seen.add(node)
            if node.op_type in _IMAGE_READERS and use.idx == 0:
                return axes
            perm = _perm(node, rank)
            if perm is not None and use.idx == 0:
                pending.append((node.outputs[0], tuple(axes[axis] for axis in perm)))
    return None


def _made(value: ir.Value | None, rank: int) -> Axes | None:
    """Returns at which axis of an output N, C, spatial... of the image operator before it stand."""
    axes = tuple(range(rank))
    while value is not None:
        node = value.producer()
        if node is None:
            return None
        if node.op_type in _IMAGE_READERS:
            return axes
        perm = _perm(node, rank)
        if perm is None:
            return None
        axes = tuple(axes[perm.index(axis)] for axis in range(rank))
        value = node.inputs[0]
    return None


def _perm(node: ir.Node, rank: int) -> Axes | None:
    """Returns how a node moves axes, or None where what they mean is lost."""
    if node.op_type in _SAME_AXES:
        return tuple(range(rank))
    if node.op_type == "Reshape":
        return _moved_ones(node, rank)
    if node.op_type != "Transpose":
        return None
    perm = tuple(node.attributes.get_ints("perm", ()))
    return perm if len(perm) == rank else None


def _moved_ones(node: ir.Node, rank: int) -> Axes | None:
    """Returns the order of a Reshape that stands for a Transpose between channels first and last of one channel."""
    source, target = node.inputs[0], node.outputs[0]
    if source is None or source.shape is None or target.shape is None or rank not in _NAMES:
        return None
    before, after = list(source.shape), list(target.shape)
    if len(before) != rank or len(after) != rank:
        return None
    first, last = (0, rank - 1, *range(1, rank - 1)), (0, *range(2, rank), 1)
    for perm, channel in ((first, rank - 1), (last, 1)):
        if before[channel] == 1 and [before[axis] for axis in perm][1:] == after[1:]:
            return perm
    return None
