"""Statistics of latencies. Runs close in time resemble each other, so intervals resample whole windows of runs.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 (dependent data) and 13 (percentile
interval). Source of the effect size: Cliff, Dominance statistics, Psychological Bulletin 114(3), 1993.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["cliffs_delta", "mean_interval", "median_interval", "ratio_interval", "resampled_medians", "window_spread"]

Samples = NDArray[np.float64]
Windows = Sequence[Samples]

_RESAMPLES = 1000
_AT_ONCE = 100
_LEVELS = (2.5, 97.5)


def median_interval(windows: Windows, *, seed: int = 0, resamples: int = _RESAMPLES) -> tuple[float, float]:
    """Returns the 95 % percentile interval of the median over all samples; deterministic for one seed."""
    return _interval(resampled_medians(windows, seed=seed, resamples=resamples))


def mean_interval(windows: Windows, *, seed: int = 0, resamples: int = _RESAMPLES) -> tuple[float, float]:
    """Returns the 95 % percentile interval of the mean over all samples; deterministic for one seed."""
    return _interval(_resampled(windows, _means, seed, resamples))


def resampled_medians(windows: Windows, *, seed: int = 0, resamples: int = _RESAMPLES) -> Samples:
    """Returns the medians of `resamples` bootstrap resamples: float64[resamples]."""
    return _resampled(windows, _medians, seed, resamples)


def ratio_interval(
    base: Windows, new: Windows, *, seed: int = 0, resamples: int = _RESAMPLES
) -> tuple[float, float, float]:
    """Returns (ratio, low, high) of median(new) / median(base), with its 95 % interval."""
    ratio = float(np.median(np.concatenate(new)) / np.median(np.concatenate(base)))
    below = resampled_medians(base, seed=seed, resamples=resamples)
    above = resampled_medians(new, seed=seed + 1, resamples=resamples)
    low, high = np.percentile(above / below, _LEVELS)
    return ratio, float(low), float(high)


def cliffs_delta(base: Samples, new: Samples) -> float:
    """Returns P(new > base) - P(new < base) over all pairs: -1 always faster, 0 no difference, 1 always slower."""
    ordered = np.sort(base)
    below = np.searchsorted(ordered, new, side="left").sum()
    above = (ordered.size - np.searchsorted(ordered, new, side="right")).sum()
    return float((below - above) / (base.size * new.size))


def window_spread(windows: Windows) -> float:
    """Returns (largest - smallest) / median of the windows' medians: 0 when all windows agree."""
    medians = np.array([np.median(window) for window in windows])
    return float((medians.max() - medians.min()) / np.median(medians))


def _interval(values: Samples) -> tuple[float, float]:
    low, high = np.percentile(values, _LEVELS)
    return float(low), float(high)


Statistic = Callable[[Samples, NDArray[np.int64]], Samples]
"""Of the first `sizes[i]` of each row; the rest are infinite: float64[rows, samples], int64[rows] -> float64[rows]."""


def _resampled(windows: Windows, statistic: Statistic, seed: int, resamples: int) -> Samples:
    """A statistic of resamples: windows are drawn, then samples within each, the two levels at which latencies vary."""
    rng = np.random.default_rng(seed)
    sizes = np.array([window.size for window in windows])
    table = np.full((len(windows), sizes.max()), np.inf)
    for row, window in zip(table, windows, strict=True):
        row[: window.size] = window
    values = []
    for start in range(0, resamples, _AT_ONCE):
        drawn = rng.integers(0, len(windows), (min(_AT_ONCE, resamples - start), len(windows)))
        places = (rng.random((*drawn.shape, table.shape[1])) * sizes[drawn][..., None]).astype(np.int64)
        samples = table[drawn[..., None], places]
        samples[np.arange(table.shape[1]) >= sizes[drawn][..., None]] = np.inf
        values.append(statistic(samples.reshape(len(drawn), -1), sizes[drawn].sum(axis=1)))
    return np.concatenate(values)


def _medians(samples: Samples, sizes: NDArray[np.int64]) -> Samples:
    ordered = np.sort(samples, axis=1)
    middle = np.stack([(sizes - 1) // 2, sizes // 2], axis=1)
    medians: Samples = np.take_along_axis(ordered, middle, axis=1).mean(axis=1)
    return medians


def _means(samples: Samples, sizes: NDArray[np.int64]) -> Samples:
    means: Samples = np.where(np.isfinite(samples), samples, 0.0).sum(axis=1) / sizes
    return means
