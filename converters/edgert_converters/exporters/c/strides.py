"""Where numbers that only move come from: index arrays as loops over runs of bytes.

`indices[...]` is the place in the input, counted in elements, that each element of the output comes from. Every moving
operator is such an array; what the kernels want are few loops over long runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Axis", "Loops", "Places", "find_loops", "find_places", "pair_arguments"]

_MOST_LOOPS = 4


@dataclass(frozen=True, slots=True)
class Axis:
    """A loop: how often, and how far a step is on either side, in elements."""

    count: int
    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Loops:
    """Runs of `run` elements over at most four axes, from element `first` of the source on."""

    first: int
    axes: tuple[Axis, ...]
    run: int

    @property
    def is_whole(self) -> bool:
        """True where everything is one run."""
        return not self.axes

    def arguments(self, item_bytes: int) -> dict[str, int]:
        """What a kernel takes at run time, in bytes."""
        padded = (*([Axis(1, 0, 0)] * (_MOST_LOOPS - len(self.axes))), *self.axes)
        found: dict[str, int] = {}
        for i, axis in enumerate(padded):
            found |= {
                f"count_{i}": axis.count,
                f"x_{i}": axis.source * item_bytes,
                f"y_{i}": axis.target * item_bytes,
            }
        return found


@dataclass(frozen=True, slots=True)
class Places:
    """Run (i, j) comes from element `outer[i] + inner[j]` of the source."""

    outer: NDArray[np.int64]
    inner: NDArray[np.int64]
    run: int


def find_loops(source: NDArray[np.int64], target: NDArray[np.int64] | None = None) -> Loops | None:
    """Returns the loops of a move, or None where it has no such form with four axes.

    Args:
        source: where element i of the move comes from, any rank.
        target: where it goes, of the same shape; in sequence where not given.
    """
    if target is None:
        target = np.arange(source.size, dtype=np.int64).reshape(source.shape)
    axes = _axes(source, target)
    if axes is None:
        return None
    run = 1
    if axes and axes[-1].source == axes[-1].target == 1:
        run = axes.pop().count
    return Loops(int(source.flat[0]), tuple(axes), run) if len(axes) <= _MOST_LOOPS else None


def pair_arguments(a: tuple[int, ...], b: tuple[int, ...], y: tuple[int, ...]) -> dict[str, int] | None:
    """Returns counts and steps of four loops over y, made from a and b by numpy's broadcasting; None: four are few."""
    spread = [np.broadcast_to(np.arange(math.prod(s), dtype=np.int64).reshape(s), y) for s in (a, b)]
    axes = _axes(spread[0], spread[1])
    if axes is None or len(axes) > _MOST_LOOPS:
        return None
    padded = (*([Axis(1, 0, 0)] * (_MOST_LOOPS - len(axes))), *axes)
    found: dict[str, int] = {}
    for i, axis in enumerate(padded):
        found |= {f"count_{i}": axis.count, f"a_{i}": axis.source, f"b_{i}": axis.target}
    return found


def find_places(source: NDArray[np.int64]) -> Places:
    """Returns the two tables of a move that is no loop: the sum of their lengths is the smallest found."""
    flat = source.reshape(-1)
    breaks = np.flatnonzero(np.diff(flat) != 1) + 1
    run = math.gcd(flat.size, *(int(place) for place in breaks))
    rest = source.shape[:-1] + (source.shape[-1] // run, run) if source.shape[-1] % run == 0 else (-1, run)
    starts = source.reshape(rest)[..., 0]
    best = Places(starts.reshape(-1), np.zeros(1, np.int64), run)
    for cut in range(1, starts.ndim):
        table = starts.reshape(math.prod(starts.shape[:cut]), -1)
        outer, inner = table[:, 0], table[0] - table[0, 0]
        smaller = len(outer) + len(inner) < len(best.outer) + len(best.inner)
        if smaller and np.array_equal(outer[:, None] + inner, table):
            best = Places(outer, inner, run)
    return best


def _axes(source: NDArray[np.int64], target: NDArray[np.int64]) -> list[Axis] | None:
    """The fewest loops that walk both sides, or None where a step varies."""
    source_steps, target_steps = _step(source), _step(target)
    if source.size == 0 or source_steps is None or target_steps is None:
        return None
    axes: list[Axis] = []
    for count, x, y in zip(source.shape, source_steps, target_steps, strict=True):
        if count == 1:
            continue
        if axes and axes[-1].source == x * count and axes[-1].target == y * count:
            axes[-1] = Axis(axes[-1].count * count, x, y)
        else:
            axes.append(Axis(count, x, y))
    return axes


def _step(array: NDArray[np.int64]) -> list[int] | None:
    """The distance of neighbours along every axis, None where it varies."""
    steps = []
    for axis in range(array.ndim):
        differences = np.diff(array, axis=axis)
        if differences.size and (differences != differences.flat[0]).any():
            return None
        steps.append(int(differences.flat[0]) if differences.size else 0)
    return steps
