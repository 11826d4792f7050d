"""Integer dot products whose int32 sums cannot overflow: chains of products, each followed by a shift.

A sum over k is cut into chains. Inside a chain both operands keep their exponents, products are added in int32. Each
chain's sum is then shifted (half to even) to the exponent of the int32 accumulator that collects the chains and the
bias. Both steps have a bound that holds for every input, so there is no check at run time:

- a chain: sum |w_k| * max|x| <= 2^31 - 1 in every output channel, so the weights themselves say where it ends; for
  two activations its length is floor((2^31 - 1) / (max|a| * max|b|)), 2 for 16-bit mantissas;
- the accumulator: with T = sum over chains of ceil(bound * 2^(e - top)) + ceil(|bias| * 2^-top), top the largest chain
  exponent and t the bit length of T, the exponent top + t - 30 keeps every partial sum below 2^30 + chains / 2.

Source: Das et al., Mixed Precision Training of Convolutional Neural Networks using Integer Operations, 2018,
arXiv:1802.00930, section 3.2: there chains of a fixed length end in a float accumulator and inputs give up one bit.
Here the length comes from the weights and the accumulator is an integer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgert_converters.fixed_point.arithmetic import bit_length, rescale
from edgert_converters.fixed_point.formats import Ints

__all__ = [
    "INT32_MAX",
    "Operands",
    "accumulate",
    "accumulator_exponents",
    "chain_exponents",
    "cut_chains",
    "exponent_runs",
]

Int64: TypeAlias = NDArray[np.int64]

INT32_MAX = (1 << 31) - 1
_SAFE_BITS = 30


@dataclass(frozen=True, slots=True, eq=False)
class Operands:
    """A batch of matrix products over k, with exponents that broadcast: every axis of theirs has its size or 1.

    left: [G, O, K], right: [G, K, P], int8 or int16.
    """

    left: Ints
    right: Ints
    left_exponents: Ints
    right_exponents: Ints


def cut_chains(bounds: Int64, runs: Int64) -> Int64:
    """Returns where chains start along k, ascending from 0: each is as long as int32 sums allow.

    Args:
        bounds: the largest magnitude of each product, int64[rows, K]; every row must fit. One product always does.
        runs: where an exponent of either operand changes, as `exponent_runs` gives it; a chain ends there.
    """
    running = np.concatenate([np.zeros((bounds.shape[0], 1), np.int64), np.cumsum(bounds, axis=1)], axis=1)
    starts = []
    for first, last in zip(runs, [*runs[1:], bounds.shape[1]], strict=True):
        start = int(first)
        while start < last:
            starts.append(start)
            fits = (running[:, start + 1 : int(last) + 1] - running[:, start : start + 1]).max(axis=0) <= INT32_MAX
            start += max(int(fits.sum()), 1)
    return np.asarray(starts, np.int64)


def exponent_runs(left: Ints, right: Ints) -> Int64:
    """Returns the positions along k where a run of equal exponents starts, in every row of both operands."""
    starts = {0} | _changes(left, 2) | _changes(right, 1)
    return np.asarray(sorted(starts), np.int64)


def _changes(exponents: Ints, axis: int) -> set[int]:
    if exponents.shape[axis] < 2:
        return set()
    differs = (np.diff(exponents, axis=axis) != 0).any(axis=tuple(a for a in range(3) if a != axis))
    return {int(k) + 1 for k in np.flatnonzero(differs)}


def chain_exponents(left: Ints, right: Ints, starts: Int64) -> Int64:
    """Returns the exponent of each chain's products, int64[G or 1, n, O or 1, P or 1]; exponents as in `Operands`."""
    left = left[:, :, starts if left.shape[2] > 1 else np.zeros_like(starts)]
    right = right[:, starts if right.shape[1] > 1 else np.zeros_like(starts)]
    return np.asarray(left.astype(np.int64).transpose(0, 2, 1)[..., None] + right.astype(np.int64)[:, :, None, :])


def accumulator_exponents(bounds: Int64, exponents: Int64, bias: Int64 | int = 0) -> Int64:
    """Returns the accumulator's exponents [G, O, P], by the rule at the top of this module.

    Args:
        bounds: the largest magnitude of each chain's sum, below 2^31, [G, n, O, P] or broadcastable to the exponents.
        exponents: of each chain, [G, n, O, P] or broadcastable.
        bias: ceil(|bias| * 2^-top), broadcastable to the result.

    It is never below the smallest chain exponent: there is nothing to keep there.
    """
    top = exponents.max(axis=1)
    down = np.minimum(top[:, None] - exponents, 62)
    total = ((bounds >> down) + 1).sum(axis=1) + bias
    return np.asarray(np.maximum(exponents.min(axis=1), top + bit_length(total) - _SAFE_BITS), np.int64)


def accumulate(operands: Operands, starts: Int64, target: Int64) -> NDArray[np.int32]:
    """Returns the dot products [G, O, P] at the exponents `target` (broadcastable), summed in int32 throughout."""
    left, right = operands.left.astype(np.int32), operands.right.astype(np.int32)
    exponents = chain_exponents(operands.left_exponents, operands.right_exponents, starts)
    total = np.zeros((left.shape[0], left.shape[1], right.shape[2]), np.int32)
    for n, (start, stop) in enumerate(zip(starts, [*starts[1:], left.shape[2]], strict=True)):
        sums = np.einsum("gok,gkp->gop", left[:, :, start:stop], right[:, start:stop])
        total += rescale(sums, exponents[:, n], target, 32).astype(np.int32)
    return total
