"""Second moments of what a weighted operator reads and of what it should compute: all that its rounding depends on.

With x the inputs of one output (a column of im2col), the squared error of an output channel is quadratic in its
weights, so E[x x^T] stands for any number of samples (Nagel, Amjad, van Baalen, Louizos and Blankevoort, Up or down?
Adaptive rounding for post-training quantization, 2020, arXiv:2004.10568, equations 11-13).
"""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor
from torch.nn import functional

from edgert_converters.quantize.reconstruct.torch_operations import UnsupportedError, explicit_pads
from edgert_converters.quantize.weighted import int_attribute, read_weighted

__all__ = ["Moments", "columns", "from_rows", "to_rows"]


class Moments:
    """Sums over columns, float64: x [G, K], x x^T [G, K, K], y [G, M]; G groups, K weights a channel, M channels."""

    __slots__ = ("_count", "_products", "_x", "_y")

    def __init__(self) -> None:
        self._count = 0
        self._products: Tensor | None = None
        self._x: Tensor | None = None
        self._y: Tensor | None = None

    def add(self, x: Tensor, y: Tensor) -> None:
        """Adds columns `x` [G, K, T] and the float operator's outputs `y` [G, M, T]."""
        products, sum_x, sum_y = (x @ x.transpose(1, 2)).double(), x.double().sum(2), y.double().sum(2)
        self._products = products if self._products is None else self._products + products
        self._x = sum_x if self._x is None else self._x + sum_x
        self._y = sum_y if self._y is None else self._y + sum_y
        self._count += x.shape[2]

    def means(self) -> tuple[Tensor, Tensor]:
        """E[x] [G, K] and E[y] [G, M]."""
        if self._x is None or self._y is None:
            raise AssertionError("moments of no columns")
        return self._x / self._count, self._y / self._count

    def second(self, centred: bool) -> Tensor:
        """E[x x^T] [G, K, K]; centred: the covariance, where a bias takes the means."""
        if self._products is None:
            raise AssertionError("moments of no columns")
        second = self._products / self._count
        if not centred:
            return second
        mean = self.means()[0]
        return second - mean[:, :, None] * mean[:, None, :]


def columns(node: ir.Node, x: Tensor, y: Tensor, most: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Returns the columns [G, K, T] that an operator reads and its outputs [G, M, T] at the same places.

    Args:
        node: Conv over one or two axes, Gemm, or MatMul with a matrix.
        x: its input.
        y: its output.
        most: places used of each sample, drawn where there are more.
        generator: what draws.

    Raises:
        UnsupportedError: another operator.
    """
    if node.op_type in {"Gemm", "MatMul"} and y.ndim >= 2:
        return x.reshape(-1, x.shape[-1]).t()[None], y.reshape(-1, y.shape[-1]).t()[None]
    if node.op_type != "Conv" or y.ndim not in {3, 4}:
        raise UnsupportedError(f"{node.op_type} has no column form here")
    axes = y.ndim - 2
    kernel = list(read_weighted(node).weight.shape[2:])
    stride, dilation = (list(node.attributes.get_ints(name, (1,) * axes)) for name in ("strides", "dilations"))
    padded, pixels = functional.pad(x, explicit_pads(node, axes)), y
    if axes == 1:
        padded, pixels = padded[:, :, None], y[:, :, None]
        kernel, stride, dilation = [1, *kernel], [1, *stride], [1, *dilation]
    places = torch.randperm(pixels.shape[2] * pixels.shape[3], generator=generator)[:most]
    rows, cols = places // pixels.shape[3] * stride[0], places % pixels.shape[3] * stride[1]
    taps = [
        padded[:, :, rows + i * dilation[0], cols + j * dilation[1]] for i in range(kernel[0]) for j in range(kernel[1])
    ]
    group = int_attribute(node, "group", 1)
    return _grouped(torch.stack(taps, 2).flatten(1, 2), group), _grouped(pixels.flatten(2)[:, :, places], group)


def _grouped(x: Tensor, group: int) -> Tensor:
    """[N, G * K, T] as [G, K, N * T]."""
    split = x.reshape(x.shape[0], group, -1, x.shape[2])
    return split.permute(1, 2, 0, 3).flatten(2)


def to_rows(node: ir.Node, weight: Tensor) -> Tensor:
    """Returns weights in the operator's layout as rows [G, M, K], as `columns` orders K; float64."""
    if node.op_type == "Conv":
        return weight.double().reshape(int_attribute(node, "group", 1), -1, weight[0].numel())
    transposed = node.op_type == "Gemm" and int_attribute(node, "transB", 0)
    return (weight if transposed else weight.t()).double()[None]


def from_rows(node: ir.Node, rows: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The inverse of `to_rows`."""
    if node.op_type == "Conv" or (node.op_type == "Gemm" and int_attribute(node, "transB", 0)):
        return rows.reshape(shape)
    return rows[0].t().contiguous()
