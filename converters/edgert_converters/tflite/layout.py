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


def after_transpose(order: Order, perm: Sequence[int]) -> Order:
    """Returns how a tensor stored in `order` lies in terms of its transpose by `perm`: no data moves."""
    return compose(invert(tuple(perm)), order)


def without_axes(order: Order, axes: Sequence[int]) -> Order:
    """Returns the order after `axes` of the tensor, of size 1, are dropped."""
    kept = [axis for axis in range(len(order)) if axis not in axes]
    return tuple(kept.index(axis) for axis in order if axis not in axes)


def with_axis(order: Order, axis: int, count: int = 1) -> Order:
    """Returns the order after one axis of the tensor became `count` axes that lie where it lay."""
    spread = [range(old, old + count) if old == axis else (old + (count - 1) * (old > axis),) for old in order]
    return tuple(new for group in spread for new in group)


def after_reshape(source: Sequence[int], order: Order, target: Sequence[int]) -> tuple[Order, Order]:
    """Returns the order that a tensor must have before a reshape, and the order that the result then has.

    Args:
        source: the tensor's shape, in its own axis order.
        order: how it is stored.
        target: the shape of the result, in its own axis order.

    A reshape joins and divides axes in groups; axes of one group must be stored one behind the other, whole groups may
    stand anywhere. The first result is `order` where that holds already: then no data moves.
    """
    groups = _groups(source, target)
    group_of = {axis: number for number, (axes, _) in enumerate(groups) for axis in axes}
    stored = [axis for axis in order if axis in group_of]
    sequence = list(dict.fromkeys(group_of[axis] for axis in stored))
    sequence += [number for number in range(len(groups)) if number not in sequence]
    wanted = [axis for number in sequence for axis in groups[number][0]]
    result = tuple(axis for number in sequence for axis in groups[number][1])
    if stored == wanted:
        return order, result
    free = [axis for axis in range(len(source)) if axis not in group_of]
    return (*wanted, *free), result


def _groups(source: Sequence[int], target: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Returns the smallest groups of axes (of source, of target) with equal products.

    Source axes of size 1 belong to no group, except a leading axis that stays; target axes of size 1 go with the axis
    before them.
    """
    groups: list[tuple[list[int], list[int]]] = []
    first = int(bool(source) and bool(target) and source[0] == target[0])
    if first:
        groups.append(([0], [0]))
    a, b = first, first
    while a < len(source) or b < len(target):
        left, right = [], []
        product_a = product_b = 1
        while True:
            if product_a == product_b and product_a != 1:
                break
            if product_a <= product_b and a < len(source):
                left += [a] if source[a] != 1 else []
                product_a, a = product_a * source[a], a + 1
            elif b < len(target):
                right.append(b)
                product_b, b = product_b * target[b], b + 1
            elif a < len(source):
                left += [a] if source[a] != 1 else []
                product_a, a = product_a * source[a], a + 1
            else:
                break
        groups.append((left, right))
    return groups
