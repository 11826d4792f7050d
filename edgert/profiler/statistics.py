"""Statistics of latencies. Runs close in time resemble each other, so intervals resample whole windows of runs.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 (dependent data) and 13 (percentile
interval). Source of the effect size: Cliff, Dominance statistics, Psychological Bulletin 114(3), 1993.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["bootstrap_interval", "cliffs_delta", "ratio_interval", "resampled_medians", "window_spread"]

Samples = NDArray[np.float64]
Windows = Sequence[Samples]

_RESAMPLES = 1000
_LEVELS = (2.5, 97.5)


def bootstrap_interval(
    windows: Windows, statistic: Callable[[Samples], float], *, seed: int = 0, resamples: int = _RESAMPLES
) -> tuple[float, float]:
    """Returns the 95 % percentile interval of a statistic over all samples; deterministic for one seed."""
    rng = np.random.default_rng(seed)
    values = [statistic(_resample(windows, rng)) for _ in range(resamples)]
    low, high = np.percentile(values, _LEVELS)
    return float(low), float(high)


def resampled_medians(windows: Windows, *, seed: int = 0, resamples: int = _RESAMPLES) -> Samples:
    """Returns the medians of `resamples` bootstrap resamples: float64[resamples]."""
    rng = np.random.default_rng(seed)
    return np.array([np.median(_resample(windows, rng)) for _ in range(resamples)])


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


def _resample(windows: Windows, rng: np.random.Generator) -> Samples:
    """Draws windows, then samples within each: the two levels at which latencies vary."""
    drawn = rng.integers(0, len(windows), len(windows))
    parts = [windows[index][rng.integers(0, windows[index].size, windows[index].size)] for index in drawn]
    return np.concatenate(parts)
