"""Axis orders: how a tensor of one format lies in memory in terms of the other format's axes.

An order is a tuple of axes, as numpy's transpose takes it. TFLite computes convolutions and pools channels-last, ONNX
channels-first; both converters keep each value in the order its producer made it and move data only where a reader
needs another order.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Order", "channels_first", "channels_last", "compose", "identity", "invert", "moves_no_data", "permuted"]

Order = tuple[int, ...]


def identity(rank: int) -> Order:
    """Returns the order that changes nothing."""
    return tuple(range(rank))


def channels_last(rank: int) -> Order:
    """Returns the axes of N, C, spatial... in the order N, spatial..., C."""
    return identity(rank) if rank < 3 else (0, *range(2, rank), 1)


def channels_first(rank: int) -> Order:
    """Returns the axes of N, spatial..., C in the order N, C, spatial...."""
    return identity(rank) if rank < 3 else (0, rank - 1, *range(1, rank - 1))


def invert(order: Order) -> Order:
    """Returns the order that undoes `order`."""
    return tuple(order.index(axis) for axis in range(len(order)))


def compose(first: Order, second: Order) -> Order:
    """Returns the one order that equals transposing by `first`, then by `second`."""
    return tuple(first[axis] for axis in second)


def permuted(items: Sequence[int], order: Order) -> tuple[int, ...]:
    """Returns the items (sizes, pads, strides per axis) in `order`."""
    return tuple(items[axis] for axis in order)


def moves_no_data(shape: Sequence[int], order: Order) -> bool:
    """True when transposing `shape` by `order` leaves every element where it is: only axes of size 1 change places."""
    kept = [axis for axis in order if shape[axis] != 1]
    return kept == sorted(kept)
