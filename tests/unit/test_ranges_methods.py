"""Every range method on distributions whose best range is known or can be found by trying."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from edgert.dtypes import DType
from edgert.quant import QuantParams, dequantize, quantize
from edgert.recipe import RangeMethod
from edgert_converters.quantize.ranges import METHODS, RangeRule, choose_params, choose_range
from edgert_converters.quantize.scheme import INT8, INT16X8, Scheme
from edgert_converters.quantize.statistics import RunningHistogram

SYMMETRIC = Scheme(symmetric=True)
FLOAT_ACTIVATIONS = Scheme(activation=None)
COUNT = 100_000

TENSORS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "normal": lambda rng: rng.standard_normal(COUNT),
    "laplace": lambda rng: rng.laplace(size=COUNT),
    "relu": lambda rng: np.maximum(rng.standard_normal(COUNT), 0.0),
    "negative": lambda rng: -rng.gamma(0.5, size=COUNT),
    "heavy tails": lambda rng: rng.standard_t(3, COUNT),
    "two unequal ends": lambda rng: rng.gamma(0.5, size=COUNT) - 0.1,
}


def _filled(values: np.ndarray) -> RunningHistogram:
    histogram = RunningHistogram()
    histogram.update(values.astype(np.float32), "x")
    return histogram


def _values(name: str) -> np.ndarray:
    return TENSORS[name](np.random.default_rng(0)).astype(np.float32)


def _error(values: np.ndarray, params: QuantParams) -> float:
    return float(np.mean((dequantize(quantize(values, params), params) - values) ** 2))


def _params(values: np.ndarray, method: RangeMethod, scheme: Scheme) -> QuantParams:
    return choose_params(_filled(values), RangeRule(method), scheme)


def test_every_method_of_a_recipe_is_in_the_table() -> None:
    assert set(METHODS) == set(RangeMethod)
    assert len(set(METHODS.values())) == len(RangeMethod)


@pytest.mark.parametrize("method", RangeMethod)
@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("symmetric", [False, True])
def test_ranges_hold_zero_and_stay_within_what_was_seen(method: RangeMethod, name: str, symmetric: bool) -> None:
    histogram = _filled(_values(name))
    low, high = choose_range(histogram, RangeRule(method), symmetric=symmetric)
    assert low <= 0.0 <= high
    assert low < high
    if symmetric:
        assert low == -high
        assert high <= max(-histogram.minimum, histogram.maximum)
    else:
        assert min(histogram.minimum, 0.0) <= low
        assert high <= max(histogram.maximum, 0.0)


@pytest.mark.parametrize("method", RangeMethod)
@pytest.mark.parametrize("scheme", [INT8, SYMMETRIC])
@pytest.mark.parametrize("constant", [0.0, 3.0, -7.0, 1e-20, -1e30])
def test_a_constant_tensor_is_represented_exactly(method: RangeMethod, scheme: Scheme, constant: float) -> None:
    values = np.full(10, constant, np.float32)
    params = _params(values, method, scheme)
    np.testing.assert_allclose(dequantize(quantize(values, params), params), values, rtol=1e-6, atol=1e-19)


def test_min_max_is_exact() -> None:
    values = _values("normal")
    largest = np.abs(values).max()
    rule = RangeRule(RangeMethod.MIN_MAX)
    assert choose_range(_filled(values), rule) == (values.min(), values.max())
    assert choose_range(_filled(values), rule, symmetric=True) == (-largest, largest)


@pytest.mark.parametrize("percentile", [90.0005, 99.0005, 99.9005])  # no whole number of values
def test_percentile_is_right_to_one_bin(percentile: float) -> None:
    values = _values("two unequal ends") - np.float32(1.0)
    histogram = _filled(values)
    bin_width = float(np.diff(histogram.centres()[:2])[0])
    rule = RangeRule(RangeMethod.PERCENTILE, percentile)
    low, high = choose_range(histogram, rule)
    assert abs(low - _quantile(values, 1 - percentile / 100)) <= bin_width
    assert abs(high - _quantile(values, percentile / 100)) <= bin_width
    _, largest = choose_range(histogram, rule, symmetric=True)
    assert abs(largest - _quantile(np.abs(values), percentile / 100)) <= bin_width


def _quantile(values: np.ndarray, share: float) -> float:
    """The value that `share` of all values do not pass, without interpolation between sparse ones."""
    return float(np.sort(values)[math.ceil(share * values.size) - 1])


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("method", [RangeMethod.MSE, RangeMethod.OCTAV])
def test_symmetric_ranges_are_the_best_of_symmetric_ranges(name: str, method: RangeMethod) -> None:
    values = _values(name)
    largest = float(np.abs(values).max())
    tried = [QuantParams((float(np.float32(largest * k / 40 / 127)),), (0,), DType.INT8) for k in range(4, 41)]
    best = min(_error(values, params) for params in tried)
    assert _error(values, _params(values, method, SYMMETRIC)) <= 1.06 * best


@pytest.mark.parametrize("name", ["heavy tails", "two unequal ends"])
def test_a_symmetric_search_beats_the_larger_end_of_an_affine_one(name: str) -> None:
    values = _values(name)
    low, high = choose_range(_filled(values), RangeRule(RangeMethod.MSE))
    larger_end = QuantParams((float(np.float32(max(-low, high) / 127)),), (0,), DType.INT8)
    assert _error(values, _params(values, RangeMethod.MSE, SYMMETRIC)) < 0.99 * _error(values, larger_end)


@pytest.mark.parametrize("name", TENSORS)
def test_octav_finds_the_least_squared_error_without_a_search(name: str) -> None:
    values = _values(name)
    searched, found = (_error(values, _params(values, m, INT8)) for m in (RangeMethod.MSE, RangeMethod.OCTAV))
    assert found <= 1.04 * searched
    assert found < _error(values, _params(values, RangeMethod.MIN_MAX, INT8))


def test_octav_gives_the_clipping_point_of_a_bell_that_the_literature_gives() -> None:
    """Banner et al., 2019, arXiv:1810.05723: 3.92 sigma for a normal and 9.89 b for a Laplace one, in 8 bits."""
    rng = np.random.default_rng(5)
    rule = RangeRule(RangeMethod.OCTAV)
    _, normal = choose_range(_filled(rng.standard_normal(1_000_000)), rule, symmetric=True)
    _, laplace = choose_range(_filled(rng.laplace(size=1_000_000)), rule, symmetric=True)
    assert normal == pytest.approx(3.92, rel=0.03)
    assert laplace == pytest.approx(9.89, rel=0.03)


def test_octav_costs_only_the_values_that_a_rectifier_lets_through() -> None:
    """Zeros have no rounding noise: twice as many of them move nothing."""
    values = _values("relu")
    rule = RangeRule(RangeMethod.OCTAV)
    expected = choose_range(_filled(values), rule)
    more = choose_range(_filled(np.append(values, np.zeros(COUNT))), rule)
    assert more == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["normal", "laplace", "heavy tails"])
@pytest.mark.parametrize("symmetric", [False, True])
def test_entropy_is_not_min_max_in_disguise(name: str, symmetric: bool) -> None:
    """A divergence over as many bins as there are steps has nothing to gain from clipping; this one has."""
    histogram = _filled(np.append(_values(name), np.float32(60.0)))
    _, everything = choose_range(histogram, RangeRule(RangeMethod.MIN_MAX), symmetric=symmetric)
    _, high = choose_range(histogram, RangeRule(RangeMethod.ENTROPY), symmetric=symmetric)
    assert high < 0.9 * everything


def test_sixteen_bits_keep_twice_everything_whatever_the_method() -> None:
    values = np.append(_values("normal"), np.float32(1000.0))
    params = {method: _params(values, method, INT16X8) for method in RangeMethod}
    assert set(params.values()) == {QuantParams((float(np.float32(2000 / 32767)),), (0,), DType.INT16)}


def test_float_activations_have_no_parameters() -> None:
    with pytest.raises(ValueError, match="float activations have no parameters"):
        _params(_values("relu"), RangeMethod.MSE, FLOAT_ACTIVATIONS)
