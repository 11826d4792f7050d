"""Moves a constant Pad by zero into the `pads` of the convolution or average pooling after it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from edgert_converters.passes.graph_edits import constant_array, is_onnx_op, only_consumer

__all__ = ["merge_pads"]


def merge_pads(model: ir.Model) -> int:
    """Returns how many Pad nodes were merged.

    Exact for Conv (its own border is zero too) and for AveragePool with `count_include_pad` or without pads of its own,
    which then counts them. Left alone: MaxPool (its border is minus infinity, so zero would differ), other values and
    modes, cropping, padded batch or channels, `auto_pad`, and a padded result with a second reader.
    """
    return sum(_merge(model.graph, node) for node in list(model.graph) if is_onnx_op(node, "Pad"))


def _merge(graph: ir.Graph, pad: ir.Node) -> bool:
    source, reader = pad.inputs[0], only_consumer(pad.outputs[0])
    if source is None or source.shape is None or reader is None or reader.inputs[0] is not pad.outputs[0]:
        return False
    amounts = _zero_pads(pad, len(source.shape))
    if amounts is None or not is_onnx_op(reader, "Conv", "AveragePool"):
        return False
    if any(value is pad.outputs[0] for value in reader.inputs[1:]):
        return False
    spatial = len(source.shape) - 2
    begin, end = amounts[0], amounts[1]
    if spatial < 1 or any(begin[:2]) or any(end[:2]) or min(*begin, *end) < 0:
        return False
    if reader.attributes.get_string("auto_pad", "NOTSET") not in {"NOTSET", ""}:
        return False
    own = list(reader.attributes.get_ints("pads", ())) or [0] * 2 * spatial
    if is_onnx_op(reader, "AveragePool"):
        if any(own) and not reader.attributes.get_int("count_include_pad", 0):
            return False
        if reader.attributes.get_int("ceil_mode", 0):
            return False
        reader.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 1)
    merged = [a + b for a, b in zip(own, [*begin[2:], *end[2:]], strict=True)]
    reader.attributes["pads"] = ir.AttrInt64s("pads", merged)
    reader.replace_input_with(0, source)
    graph.remove(pad, safe=True)
    return True


def _zero_pads(pad: ir.Node, rank: int) -> tuple[list[int], list[int]] | None:
    """Returns the amounts before and after each axis, or None where they or the value are not constant zero padding."""
    if pad.attributes.get_string("mode", "constant") != "constant":
        return None
    amounts = constant_array(pad.inputs[1]) if len(pad.inputs) > 1 else None
    value = pad.inputs[2] if len(pad.inputs) > 2 else None
    axes_value = pad.inputs[3] if len(pad.inputs) > 3 else None
    number, axes = constant_array(value), constant_array(axes_value)
    if amounts is None or (value is not None and (number is None or np.any(number != 0))):
        return None
    if axes_value is not None and axes is None:
        return None
    order = range(rank) if axes is None else [int(axis) % rank for axis in axes]
    begin, end = [0] * rank, [0] * rank
    for position, axis in enumerate(order):
        begin[axis], end[axis] = int(amounts[position]), int(amounts[position + len(order)])
    return begin, end
