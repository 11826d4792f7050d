from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgert.profiler.statistics import (
    cliffs_delta,
    mean_interval,
    median_interval,
    ratio_interval,
    resampled_medians,
    window_spread,
)
from tests import record_example as example


def test_the_interval_of_a_constant_is_that_constant() -> None:
    assert mean_interval([np.full(5, 3.0)] * 3) == (3.0, 3.0)
    assert median_interval([np.full(5, 3.0)] * 3) == (3.0, 3.0)


@pytest.mark.parametrize(("interval", "statistic"), [(median_interval, np.median), (mean_interval, np.mean)])
def test_the_interval_is_that_of_samples_drawn_one_by_one(
    interval: Callable[..., tuple[float, float]], statistic: Callable[[np.ndarray], float]
) -> None:
    """Windows of different lengths, the last as short as a slow model's."""
    rng = np.random.default_rng(1)
    windows = [rng.normal(10 + place, 1, size) for place, size in enumerate((50, 41, 3))]
    values = []
    for _ in range(4000):
        drawn = [windows[place] for place in rng.integers(0, 3, 3)]
        values.append(statistic(np.concatenate([rng.choice(window, window.size) for window in drawn])))
    assert interval(windows, resamples=4000) == pytest.approx(np.percentile(values, (2.5, 97.5)), abs=0.1)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        low, high = mean_interval(example.windows(10.0, seed=seed), resamples=200)
        covered += low <= 10.0 <= high
    assert covered >= 180


def test_windows_that_disagree_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    independent = [rng.normal(10, 1, 50) for _ in range(8)]
    shifted = [window + shift for window, shift in zip(independent, range(8), strict=True)]
    (low, high), (low2, high2) = (mean_interval(w) for w in (independent, shifted))
    assert high2 - low2 > 3 * (high - low)


def test_the_same_seed_gives_the_same_interval() -> None:
    data = example.windows(5.0)
    assert np.array_equal(resampled_medians(data, seed=3), resampled_medians(data, seed=3))
    assert not np.array_equal(resampled_medians(data, seed=3), resampled_medians(data, seed=4))


def test_a_known_ratio_is_found() -> None:
    ratio, low, high = ratio_interval(example.windows(10.0, seed=1), example.windows(12.0, seed=2))
    assert low <= 1.2 <= high
    assert ratio == pytest.approx(1.2, rel=0.01)


@pytest.mark.parametrize(
    ("base", "new", "delta"), [([1, 2], [3, 4], 1), ([3, 4], [1, 2], -1), ([1, 2], [1, 2], 0), ([1, 3], [2, 3], 0.25)]
)
def test_cliffs_delta(base: list[int], new: list[int], delta: float) -> None:
    assert cliffs_delta(np.float64(base), np.float64(new)) == delta


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_cliffs_delta_counts_pairs(base: list[int], new: list[int]) -> None:
    expected = np.mean([np.sign(b - a) for a in base for b in new])
    assert cliffs_delta(np.float64(base), np.float64(new)) == pytest.approx(expected)


def test_window_spread() -> None:
    assert window_spread([np.float64([1, 2, 3]), np.float64([2]), np.float64([3])]) == 0.5
