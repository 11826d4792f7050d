"""Replaces `auto_pad` of convolutions and poolings by the explicit `pads` it stands for."""

from __future__ import annotations

import onnx_ir as ir

from edgert_converters.passes.graph_edits import is_onnx_op, static_dims

__all__ = ["normalise_padding"]


def normalise_padding(model: ir.Model) -> int:
    """Returns how many nodes changed.

    SAME_UPPER and SAME_LOWER need known spatial sizes; VALID means no pads. Left alone: nodes without `auto_pad`,
    dynamic spatial sizes, and operators whose `auto_pad` means something else (ConvTranspose).
    """
    return sum(_normalise(node) for node in model.graph if is_onnx_op(node, "Conv", "MaxPool", "AveragePool", "LpPool"))


def _normalise(node: ir.Node) -> bool:
    mode = node.attributes.get_string("auto_pad", "NOTSET")
    if mode in {"NOTSET", ""}:
        return False
    source = node.inputs[0]
    if source is None or source.shape is None or node.attributes.get_int("ceil_mode", 0) != 0:
        return False
    sizes = [dim for dim in source.shape[2:] if isinstance(dim, int)]
    kernel = _kernel(node)
    if kernel is None or len(sizes) != len(source.shape) - 2 or len(kernel) != len(sizes):
        return False
    strides = node.attributes.get_ints("strides", [1] * len(sizes))
    dilations = node.attributes.get_ints("dilations", [1] * len(sizes))
    begin, end = [], []
    for size, window, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        outputs = -(-size // stride)
        total = 0 if mode == "VALID" else max((outputs - 1) * stride + dilation * (window - 1) + 1 - size, 0)
        small, large = total // 2, total - total // 2
        begin.append(small if mode == "SAME_UPPER" else large)
        end.append(large if mode == "SAME_UPPER" else small)
    node.attributes.pop("auto_pad")
    node.attributes["pads"] = ir.AttrInt64s("pads", [*begin, *end])
    return True


def _kernel(node: ir.Node) -> list[int] | None:
    listed = list(node.attributes.get_ints("kernel_shape", ()))
    if listed:
        return listed
    weight = static_dims(node.inputs[1]) if len(node.inputs) > 1 else None
    return list(weight[2:]) if weight is not None else None
