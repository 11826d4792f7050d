"""Operators of an ONNX graph as functions on torch tensors; the first axis is always the batch.

Not for conversion: only what a network between its quantized values needs. An operator that is not here makes its
block stay as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Operation", "UnsupportedError", "build_operation"]

Operation: TypeAlias = Callable[..., Tensor]
"""Input tensors in the operator's order in, its one output out."""


class UnsupportedError(Exception):
    """An operator cannot be run in torch; the text says which and why. Never reaches a user."""


def build_operation(node: ir.Node) -> Operation:
    """Returns the function of a node; constants but shapes and axes are among its arguments.

    Raises:
        UnsupportedError: the operator, or one of its attributes, is not known here.
    """
    builder = _BUILDERS.get(node.op_type) if node.domain in {"", "ai.onnx"} else None
    if builder is None or len(node.outputs) != 1:
        raise UnsupportedError(f"{node.op_type} cannot be run in torch here")
    return builder(node)


def explicit_pads(node: ir.Node, axes: int) -> list[int]:
    """Returns the pads of a convolution or pool in torch's order (last axis first, begin and end).

    Raises:
        UnsupportedError: they are left to `auto_pad`.
    """
    if node.attributes.get_string("auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        raise UnsupportedError(f"{node.op_type} with auto_pad cannot be run in torch here")
    pads = node.attributes.get_ints("pads", (0,) * (2 * axes))
    return [side for axis in reversed(range(axes)) for side in (pads[axis], pads[axis + axes])]


def _convolution(node: ir.Node) -> Operation:
    weight = node.inputs[1]
    axes = len(weight.shape or ()) - 2 if weight is not None else 0
    if axes not in {1, 2}:
        raise UnsupportedError(f"Conv over {axes} axes cannot be run in torch here")
    apply = functional.conv2d if axes == 2 else functional.conv1d
    pads = explicit_pads(node, axes)
    stride, dilation = (tuple(node.attributes.get_ints(name, (1,) * axes)) for name in ("strides", "dilations"))
    group = node.attributes.get_int("group", 1)
    even = all(pads[i] == pads[i + 1] for i in range(0, 2 * axes, 2))
    padding = tuple(reversed(pads[::2])) if even else (0,) * axes

    def run(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        return apply(x if even else functional.pad(x, pads), w, b, stride, padding, dilation, group)

    return run


def _gemm(node: ir.Node) -> Operation:
    """Alpha and beta are multiplied into the constants (weighted.read_weighted)."""
    if node.attributes.get_int("transA", 0):
        raise UnsupportedError("Gemm with transA cannot be run in torch here")
    transposed = node.attributes.get_int("transB", 0)
    return lambda x, w, b=None: functional.linear(x, w if transposed else w.t(), b)


def _clip(node: ir.Node) -> Operation:
    def run(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
        return x.clamp(None if low is None else float(low), None if high is None else float(high))

    return run


def _pool(node: ir.Node) -> Operation:
    kernel = tuple(node.attributes.get_ints("kernel_shape", ()))
    pads = explicit_pads(node, len(kernel))
    known = not node.attributes.get_int("ceil_mode", 0) and len(kernel) == 2
    if not known or any(d != 1 for d in node.attributes.get_ints("dilations", (1, 1))):
        raise UnsupportedError(f"this {node.op_type} cannot be run in torch here")
    stride = tuple(node.attributes.get_ints("strides", (1, 1)))
    if node.op_type == "MaxPool":
        return lambda x: functional.max_pool2d(functional.pad(x, pads, value=-math.inf), kernel, stride)
    if any(pads) and not node.attributes.get_int("count_include_pad", 0):
        raise UnsupportedError("AveragePool that counts no padding cannot be run in torch here")
    return lambda x: functional.avg_pool2d(functional.pad(x, pads), kernel, stride)


def _constant(node: ir.Node, index: int) -> list[int] | None:
    value = node.inputs[index] if len(node.inputs) > index else None
    if value is None:
        return None
    if value.const_value is None:
        raise UnsupportedError(f"{node.op_type} with a computed shape cannot be run in torch here")
    return [int(number) for number in np.atleast_1d(value.const_value.numpy())]


def _reshape(node: ir.Node) -> Operation:
    """A first number of 0, 1 or -1 stands for the batch."""
    shape = _constant(node, 1)
    if not shape or shape[0] not in {-1, 0, 1}:
        raise UnsupportedError("Reshape that moves the batch axis cannot be run in torch here")

    def run(x: Tensor) -> Tensor:
        rest = [x.shape[axis] if size == 0 else size for axis, size in enumerate(shape)][1:]
        return x.reshape(x.shape[0], *rest)

    return run


def _flatten(node: ir.Node) -> Operation:
    if node.attributes.get_int("axis", 1) != 1:
        raise UnsupportedError("Flatten that moves the batch axis cannot be run in torch here")
    return lambda x: x.flatten(1)


def _transpose(node: ir.Node) -> Operation:
    order = tuple(node.attributes.get_ints("perm", ()))
    if not order or order[0] != 0:
        raise UnsupportedError("Transpose that moves the batch axis cannot be run in torch here")
    return lambda x: x.permute(order)


def _slice(node: ir.Node) -> Operation:
    starts, ends = _constant(node, 1) or [], _constant(node, 2) or []
    axes = _constant(node, 3) or list(range(len(starts)))
    steps = _constant(node, 4) or [1] * len(starts)
    if 0 in axes or min(steps) < 1:
        raise UnsupportedError("Slice backwards or of the batch axis cannot be run in torch here")

    def run(x: Tensor) -> Tensor:
        index = [slice(None)] * x.ndim
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
            index[axis] = slice(start, end, step)
        return x[tuple(index)]

    return lambda x, *_: run(x)


def _pad(node: ir.Node) -> Operation:
    pads = _constant(node, 1) or []
    if node.attributes.get_string("mode", "constant") != "constant" or len(node.inputs) > 3:
        raise UnsupportedError("Pad other than by a constant on all axes cannot be run in torch here")
    half = len(pads) // 2
    order = [side for axis in reversed(range(half)) for side in (pads[axis], pads[axis + half])]
    return lambda x, _, value=None: functional.pad(x, order, value=0.0 if value is None else float(value))


def _mean(node: ir.Node) -> Operation:
    axes = list(node.attributes.get_ints("axes", ())) or _constant(node, 1)
    if not axes or 0 in axes:
        raise UnsupportedError("ReduceMean over the batch axis cannot be run in torch here")
    keep = bool(node.attributes.get_int("keepdims", 1))
    return lambda x, *_: x.mean(tuple(axes), keepdim=keep)


def _concat(node: ir.Node) -> Operation:
    axis = node.attributes.get_int("axis", 0)
    if axis == 0:
        raise UnsupportedError("Concat of the batch axis cannot be run in torch here")
    return lambda *parts: torch.cat(parts, axis)


def _softmax(node: ir.Node) -> Operation:
    axis = node.attributes.get_int("axis", -1)
    return lambda x: functional.softmax(x, axis)


def _leaky(node: ir.Node) -> Operation:
    slope = node.attributes.get_float("alpha", 0.01)
    return lambda x: functional.leaky_relu(x, slope)


def _plain(function: Operation) -> Callable[[ir.Node], Operation]:
    return lambda _: function


def _spatial_mean(x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)


_BUILDERS: dict[str, Callable[[ir.Node], Operation]] = {
    "Conv": _convolution,
    "Gemm": _gemm,
    "MatMul": _plain(torch.matmul),
    "Add": _plain(torch.add),
    "Sub": _plain(torch.sub),
    "Mul": _plain(torch.mul),
    "Relu": _plain(torch.relu),
    "Sigmoid": _plain(torch.sigmoid),
    "Tanh": _plain(torch.tanh),
    "HardSwish": _plain(functional.hardswish),
    "LeakyRelu": _leaky,
    "Clip": _clip,
    "AveragePool": _pool,
    "MaxPool": _pool,
    "GlobalAveragePool": _plain(_spatial_mean),
    "ReduceMean": _mean,
    "Reshape": lambda node: _shape_only(_reshape(node)),
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Slice": _slice,
    "Pad": _pad,
    "Concat": _concat,
    "Softmax": _softmax,
    "Identity": _plain(torch.Tensor.clone),
}


def _shape_only(operation: Operation) -> Operation:
    return lambda x, *_: operation(x)
