"""A dense change of basis as a Kronecker product, and the float nodes that compute it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import onnx_ir as ir

from edgert_converters.quantize.transforms.change import FloatNodes, Floats
from edgert_converters.quantize.transforms.region import Indices, Member

__all__ = ["Kronecker", "can_be_inserted"]


@dataclass(frozen=True)
class Kronecker:
    """T = left (x) right, float64[a, a] and [b, b].

    Channel i * b + j is entry (i, j) of a matrix X; T x is left X right^T.

    A factor of size 1 leaves the other one a plain matrix; an identity on the left makes blocks.
    """

    left: Floats
    right: Floats

    @cached_property
    def inverses(self) -> tuple[Floats, Floats]:
        """Of both factors, transposed: what weights are multiplied by."""
        left: Floats = np.linalg.inv(self.left).T.astype(np.float64)
        right: Floats = np.linalg.inv(self.right).T.astype(np.float64)
        return left, right

    @property
    def inverse(self) -> Kronecker:
        """See ChannelChange."""
        left, right = self.inverses
        return Kronecker(left.T, right.T)

    @property
    def size(self) -> int:
        """Number of channels."""
        return len(self.left) * len(self.right)

    @property
    def macs(self) -> int:
        """Multiply-accumulates per position where it has to be computed."""
        factors = [len(factor) for factor in (self.left, self.right) if not _is_identity(factor)]
        return self.size * sum(factors)

    def along(self, array: Floats, axis: int, channels: Indices, *, inverse: bool) -> Floats:
        """See ChannelChange; the region holds all channels in their order."""
        if channels.size != self.size:
            raise AssertionError(f"a transform of {self.size} channels met {channels.size}")
        left, right = self.inverses if inverse else (self.left, self.right)
        last = np.moveaxis(array, axis, -1)
        parts = last.reshape(*last.shape[:-1], len(left), len(right))
        return np.moveaxis((left @ parts @ right.T).reshape(last.shape), -1, axis)

    def insert(self, nodes: FloatNodes, value: ir.Value, member: Member) -> ir.Value:
        """See ChannelChange; the axis is the last one, or 1 with known sizes behind it."""
        rank = len(value.shape or ())
        dense = len(self.left) == 1
        if member.axis == rank - 1:
            if dense:
                return nodes.add("MatMul", [value, nodes.constant(self.right.T)], value.shape)
            parts = _reshape(nodes, value, [*[0] * (rank - 1), len(self.left), len(self.right)])
            if not _is_identity(self.right):
                parts = nodes.add("MatMul", [parts, nodes.constant(self.right.T.copy())], None)
            if not _is_identity(self.left):
                parts = nodes.add("MatMul", [nodes.constant(self.left), parts], None)
            return _reshape(nodes, parts, [*[0] * (rank - 1), self.size], value.shape)
        if dense:
            kernel = self.right.reshape(*self.right.shape, *[1] * (rank - 2))
            return nodes.add("Conv", [value, nodes.constant(kernel)], value.shape)
        parts = value
        if not _is_identity(self.right):
            parts = _reshape(nodes, parts, [0, len(self.left), len(self.right), -1])
            parts = nodes.add("MatMul", [nodes.constant(self.right), parts], None)
        if not _is_identity(self.left):
            parts = _reshape(nodes, parts, [0, len(self.left), -1])
            parts = nodes.add("MatMul", [nodes.constant(self.left), parts], None)
        behind = [int(str(size)) for size in (value.shape or ())][2:] if _known_behind(value) else []
        return _reshape(nodes, parts, [0, self.size, *behind], value.shape)


def can_be_inserted(value: ir.Value, member: Member) -> bool:
    """True where the nodes of `Kronecker.insert` can be written for a value."""
    rank = len(value.shape or ())
    return member.axis == rank - 1 or (member.axis == 1 and _known_behind(value))


def _known_behind(value: ir.Value) -> bool:
    return all(isinstance(size, int) for size in [*(value.shape or ())][2:])


def _reshape(nodes: FloatNodes, value: ir.Value, sizes: list[int], shape: ir.Shape | None = None) -> ir.Value:
    return nodes.add("Reshape", [value, nodes.constant(np.array(sizes, np.int64))], shape)


def _is_identity(factor: Floats) -> bool:
    return bool(np.array_equal(factor, np.eye(len(factor))))
