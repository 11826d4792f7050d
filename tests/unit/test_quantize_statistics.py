from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgert.errors import DataError
from edgert.quant import dequantize, quantize
from edgert.recipe import RangeMethod
from edgert_converters.quantize.ranges import RangeRule, choose_range, params_for_range
from edgert_converters.quantize.statistics import BINS, RunningHistogram, TensorStatistics


def _filled(*arrays: np.ndarray) -> RunningHistogram:
    histogram = RunningHistogram()
    for array in arrays:
        histogram.update(array.astype(np.float32), "x")
    return histogram


@given(st.integers(0, 2**32 - 1), st.lists(st.floats(-3, 3), min_size=1, max_size=6))
def test_counts_are_exact_whatever_the_growth(seed: int, exponents: list[float]) -> None:
    rng = np.random.default_rng(seed)
    arrays = [(rng.standard_normal(200) * 10**e + rng.normal()).astype(np.float32) for e in exponents]
    histogram = _filled(*arrays)
    values = np.concatenate(arrays)
    assert histogram.minimum == values.min()
    assert histogram.maximum == values.max()
    assert histogram.counts.sum() == histogram.count == values.size
    width = float(np.diff(histogram.centres()[:2])[0])
    edges = histogram.centres()[0] - width / 2 + width * np.arange(BINS + 1)
    assert np.array_equal(np.histogram(values.astype(np.float64), edges)[0], histogram.counts)


def test_memory_does_not_grow_with_samples() -> None:
    histogram = _filled(*(np.full(10, k) for k in range(100)))
    assert histogram.counts.size == BINS


def test_nan_in_calibration_names_the_tensor() -> None:
    with pytest.raises(DataError, match="NaN or infinity in tensor 'conv1'"):
        RunningHistogram().update(np.array([0.0, np.nan], np.float32), "conv1")


def test_channel_means_follow_axis_1() -> None:
    statistics = TensorStatistics()
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    statistics.update(x, "x")
    statistics.update(x + 2, "x")
    means = statistics.channel_means()
    assert means is not None
    assert means.tolist() == [6.5, 18.5]


def test_min_max_keeps_everything_and_includes_zero() -> None:
    assert choose_range(_filled(np.array([2.0, 5.0])), RangeRule(RangeMethod.MIN_MAX)) == (0.0, 5.0)
    assert choose_range(_filled(np.array([-3.0, -1.0])), RangeRule(RangeMethod.MIN_MAX)) == (-3.0, 0.0)


def test_percentile_drops_the_tails() -> None:
    values = np.concatenate([np.linspace(0, 1, 10_000), [100.0]])
    low, high = choose_range(_filled(values), RangeRule(RangeMethod.PERCENTILE, 99.0))
    assert low == 0.0
    assert 0.95 < high < 1.1


@pytest.mark.parametrize("method", [RangeMethod.MSE, RangeMethod.ENTROPY])
def test_searched_ranges_cut_an_outlier_and_keep_a_uniform_tensor(method: RangeMethod) -> None:
    rng = np.random.default_rng(0)
    bell = rng.standard_normal(200_000)
    _, high = choose_range(_filled(np.append(bell, 40.0)), RangeRule(method))
    assert high < 36.0
    uniform = rng.uniform(-1, 1, 200_000)
    low, high = choose_range(_filled(uniform), RangeRule(method))
    assert low < -0.9
    assert high > 0.9


def test_mse_range_is_no_worse_than_min_max() -> None:
    rng = np.random.default_rng(1)
    values = (rng.standard_t(3, 100_000)).astype(np.float32)
    errors = {}
    for method in (RangeMethod.MIN_MAX, RangeMethod.MSE):
        params = params_for_range(*choose_range(_filled(values), RangeRule(method)))
        errors[method] = float(np.mean((dequantize(quantize(values, params), params) - values) ** 2))
    assert errors[RangeMethod.MSE] < errors[RangeMethod.MIN_MAX]


def test_a_tensor_of_zeros_gets_a_usable_scale() -> None:
    params = params_for_range(*choose_range(_filled(np.zeros(8)), RangeRule(RangeMethod.MSE)))
    assert params.scale == (1.0,)
    assert dequantize(quantize(np.zeros(3, np.float32), params), params).tolist() == [0.0, 0.0, 0.0]


def test_a_first_sample_that_is_one_large_number_leaves_room_for_the_others() -> None:
    """basic-pitch on silence gives such a tensor; bins as fine as its spread would need numbers beyond int64."""
    statistics = _filled(np.full(5, 1e7))
    statistics.update(np.asarray([-2e7, 3e7], np.float32), "x")
    assert (statistics.minimum, statistics.maximum, statistics.count) == (-2e7, 3e7, 7)
    assert int(statistics.counts.sum()) == 7
