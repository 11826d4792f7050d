"""Signal-to-quantization-noise ratio of outputs, over the whole tensor and per group of channels.

A detector head that joins boxes in 0..640 with scores in 0..1 keeps a fine SQNR as a whole when int8 wipes out every
score. So each output is also cut, along its channel axis and its last axis, into runs of indices of like magnitude, and
the worst run counts. Runs that are dead in the reference (a millionth of the largest channel or less) do not count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ChannelGroup", "OutputError", "OutputErrorMeter", "differ_in_rows_only", "split_by_magnitude", "sqnr_db"]

LIMIT_DB = 200.0
_MAGNITUDE_RATIO = 8.0
_MAX_CUTS = 7
_DEAD_POWER = 1e-12
"""Channels a million times smaller than the largest carry nothing (they are what training left of pruned ones)."""


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Indices start..stop-1 of an axis (counted with the batch axis) and their SQNR over all samples."""

    axis: int
    start: int
    stop: int
    sqnr_db: float


@dataclass(frozen=True, slots=True)
class OutputError:
    """Error of one output against the reference: mean and worst over samples, and the worst channel group."""

    name: str
    sqnr_db_mean: float
    sqnr_db_worst: float
    worst_group: ChannelGroup


def differ_in_rows_only(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """True for shapes that differ in the number of rows at most: a selection (NonMaxSuppression) may find more."""
    return len(found) == len(expected) and (len(found) < 2 or found[-1] == expected[-1])


def sqnr_db(signal: float, noise: float) -> float:
    """Returns 10 log10(signal / noise) of two powers, within -200..200 dB; no noise at all: 200; NaN noise: -200."""
    if noise == 0:
        return LIMIT_DB
    if signal <= 0 or not math.isfinite(noise):
        return -LIMIT_DB
    return max(-LIMIT_DB, min(LIMIT_DB, 10 * math.log10(signal / noise)))


class OutputErrorMeter:
    """Collects the error of one output sample by sample; memory does not grow with the number of samples."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._sum_db = 0.0
        self._worst_db = LIMIT_DB
        self._count = 0
        self._powers: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def add(self, reference: NDArray[np.generic], variant: NDArray[np.generic]) -> float:
        """Takes one pair of outputs (leading batch axis); returns the sample's SQNR in dB.

        Outputs of different shapes (a selection that found more or fewer) have nothing in common: all of both is noise.
        """
        signal = np.square(np.asarray(reference, np.float64))
        alike = reference.shape == variant.shape
        if alike:
            noise = np.square(np.asarray(variant, np.float64) - np.asarray(reference, np.float64))
            noise = np.where(np.isfinite(noise), noise, np.inf)
            value = sqnr_db(float(signal.sum()), float(noise.sum()))
        else:
            noise = np.square(np.asarray(variant, np.float64))
            value = sqnr_db(float(signal.sum()), float(signal.sum() + noise.sum()))
        self._sum_db += value
        self._worst_db = min(self._worst_db, value)
        self._count += 1
        for axis in _channel_axes(signal.shape) if alike and signal.size else ():
            self._add_axis(axis, signal, noise)
        return value

    def result(self) -> OutputError:
        """The error so far.

        Raises:
            ValueError: no sample was added.
        """
        if not self._count:
            raise ValueError(f"no sample of output {self.name!r} was compared")
        groups = [group for axis, powers in self._powers.items() for group in _groups(axis, *powers)]
        mean = self._sum_db / self._count
        whole = ChannelGroup(0, 0, 0, self._worst_db)  # of outputs that never had one shape
        return OutputError(self.name, mean, self._worst_db, min(groups, key=lambda group: group.sqnr_db, default=whole))

    def _add_axis(self, axis: int, signal: NDArray[np.float64], noise: NDArray[np.float64]) -> None:
        others = tuple(i for i in range(signal.ndim) if i != axis)
        sums = np.atleast_1d(signal.sum(axis=others)), np.atleast_1d(noise.sum(axis=others))
        before = self._powers.get(axis)
        if before is not None and before[0].shape != sums[0].shape:
            return  # an axis that varies from sample to sample has no fixed channels
        self._powers[axis] = sums if before is None else (before[0] + sums[0], before[1] + sums[1])


def split_by_magnitude(power: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Returns runs (start, stop) of indices of like power, covering all of them in order.

    A run is cut in two where that lowers the variance of log-power most, as long as the root mean squares of both sides
    differ by more than 8x (the ratio above which one int8 scale must not be shared); at most eight runs.
    """
    runs = [(0, power.size)]
    for _ in range(_MAX_CUTS):
        cuts = [(_best_cut(power, start, stop), start, stop) for start, stop in runs]
        usable = [(cut[0], cut[1], start, stop) for cut, start, stop in cuts if cut is not None]
        if not usable:
            break
        _, place, start, stop = max(usable)
        runs.remove((start, stop))
        runs += [(start, place), (place, stop)]
    return sorted(runs)


def _best_cut(power: NDArray[np.float64], start: int, stop: int) -> tuple[float, int] | None:
    """Gain and place of the best cut of a run, or None where both sides are alike."""
    part = power[start:stop]
    if part.size < 2 or part.max() <= 0:
        return None
    level = np.log10(np.maximum(part, part.max() * 1e-12))
    count = np.arange(1, part.size, dtype=np.float64)
    left = np.cumsum(level)[:-1]
    right = level.sum() - left
    gain = left**2 / count + right**2 / (part.size - count) - level.sum() ** 2 / part.size
    mean_left = np.cumsum(part)[:-1] / count
    mean_right = (part.sum() - np.cumsum(part)[:-1]) / (part.size - count)
    low, high = np.minimum(mean_left, mean_right), np.maximum(mean_left, mean_right)
    differs = high > low * _MAGNITUDE_RATIO**2
    if not differs.any():
        return None
    place = int(np.where(differs, gain, -1.0).argmax())
    return float(gain[place]), start + place + 1


def _groups(axis: int, signal: NDArray[np.float64], noise: NDArray[np.float64]) -> list[ChannelGroup]:
    alive = signal.max() * _DEAD_POWER
    runs = [(a, b) for a, b in split_by_magnitude(signal) if signal[a:b].mean() >= alive]
    return [ChannelGroup(axis, a, b, sqnr_db(float(signal[a:b].sum()), float(noise[a:b].sum()))) for a, b in runs]


def _channel_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The channel axis (1) and the last axis; axis 0 for a tensor without others."""
    return tuple(sorted({min(1, len(shape) - 1), len(shape) - 1})) if shape else ()
