"""The accuracy gate: is a variant as good as the float model, decided by a paired test on the same samples.

passed: the one-sided 95 % upper bound of the drop is at most the allowed drop. failed: the lower bound is above it.
Everything else is undecided and is never called passed. A drop is positive when the variant is worse, in points.

Three cases: right-or-wrong metrics use Tango's score interval with an exact floor; other means use Student's t and the
bootstrap, whichever is wider; metrics over all samples (mAP, F1) bootstrap the samples. Where nothing differed in n
samples (or in fewer than five), the bound is that of an event never seen in n, times the full scale: an interval of
almost no width would be a lie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgert.bundle import Gate
from edgert_converters.intervals import (
    Z_ONE_SIDED_95,
    Z_TWO_SIDED_95,
    exact_zero_upper,
    paired_difference_bound,
    t_quantile,
)
from edgert_converters.metrics.metric import Metric, Record

__all__ = ["GateDecision", "decide", "decide_counts", "decide_values"]

_RESAMPLES = 1000
_FEW_DIFFERING = 5
_MAX_SAMPLES_NEEDED = 10_000_000


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The outcome for one variant; drops and bounds in points, `samples_needed` only where undecided."""

    gate: Gate
    drop_points: float
    ci95: tuple[float, float]
    lower95: float
    upper95: float
    n: int
    samples_needed: int | None
    sentence: str


@dataclass(frozen=True, slots=True)
class _Bounds:
    drop: float
    lower: float
    upper: float
    ci95: tuple[float, float]


def decide(
    metric: Metric,
    reference: Sequence[Record],
    variant: Sequence[Record],
    max_drop_points: float,
    *,
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> GateDecision:
    """Decides from the records that a metric made of the reference's and the variant's results, sample by sample.

    Args:
        metric: made the records.
        reference: one record per sample.
        variant: one record per sample, in the same order.
        max_drop_points: largest drop that is accepted.
        seed: of the bootstrap; the same input gives the same decision.
        resamples: bootstrap draws.

    Raises:
        ValueError: no samples, or different numbers of them.
    """
    if len(reference) != len(variant) or not reference:
        raise ValueError(f"a paired test needs equally many samples, got {len(reference)} and {len(variant)}")
    values = metric.sample_values(reference), metric.sample_values(variant)
    sign = 1.0 if metric.higher_is_better else -1.0
    if values[0] is None or values[1] is None:
        bounds = _bootstrap_bounds(metric, reference, variant, sign, seed, resamples)
        return _decision(
            bounds, len(reference), max_drop_points, _needed_by_width(bounds, len(reference), max_drop_points)
        )
    points = sign * _points_per_unit(metric, float(values[0].mean()))
    first, second = values[0] * points, values[1] * points
    if metric.unit == "%" and set(np.unique(np.concatenate([first, second]))) <= {0.0, 100.0}:
        losses, gains = int((first > second).sum()), int((first < second).sum())
        return decide_counts(losses, gains, len(first), max_drop_points)
    return decide_values(first, second, max_drop_points, seed=seed, resamples=resamples)


def decide_counts(losses: int, gains: int, n: int, max_drop_points: float) -> GateDecision:
    """Decides for a right-or-wrong metric.

    Args:
        losses: samples that only the reference gets right.
        gains: samples that only the variant gets right.
        n: all samples.
        max_drop_points: largest drop that is accepted.
    """
    drop = 100 * (losses - gains) / n
    upper = 100 * _upper_from_counts(losses, gains, n)
    lower = 100 * paired_difference_bound(losses, gains, n, Z_ONE_SIDED_95)
    ci95 = (
        100 * paired_difference_bound(losses, gains, n, Z_TWO_SIDED_95),
        max(upper, 100 * paired_difference_bound(losses, gains, n, -Z_TWO_SIDED_95)),
    )
    needed = _needed_from_counts(losses / n, gains / n, n, max_drop_points)
    return _decision(_Bounds(drop, lower, upper, ci95), n, max_drop_points, needed)


def decide_values(
    reference: NDArray[np.float64],
    variant: NDArray[np.float64],
    max_drop_points: float,
    *,
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> GateDecision:
    """Decides for a metric that is the mean of per-sample values, in points with higher better (float64[N])."""
    drops = np.asarray(reference, np.float64) - np.asarray(variant, np.float64)
    n, drop = drops.size, float(drops.mean())
    full_scale = max(100.0, float(np.abs(reference).max()))
    if not drops.any():
        return _decision_when_equal(n, full_scale, max_drop_points)
    means = _resampled_means(drops, seed, resamples)
    spread = float(drops.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    bounds = _with_floor(_widest(drop, spread, n, means), n, int((drops != 0).sum()), full_scale)
    return _decision(bounds, n, max_drop_points, _needed_by_width(bounds, n, max_drop_points))


def _upper_from_counts(losses: float, gains: float, n: float) -> float:
    """Tango's bound; with no loss at all the exact bound of an unseen event is wider and counts."""
    upper = paired_difference_bound(losses, gains, n, -Z_ONE_SIDED_95)
    return max(upper, exact_zero_upper(max(1, int(n))) - gains / n) if losses == 0 else upper


def _needed_from_counts(loss_share: float, gain_share: float, n: int, max_drop_points: float) -> int | None:
    """The smallest n at which the same shares would decide, to about 1 %."""

    def is_decided(size: float) -> bool:
        losses, gains = loss_share * size, gain_share * size
        if 100 * _upper_from_counts(losses, gains, size) <= max_drop_points:
            return True
        return 100 * paired_difference_bound(losses, gains, size, Z_ONE_SIDED_95) > max_drop_points

    low, high = float(n), float(n)
    while not is_decided(high):
        low, high = high, high * 2
        if high > _MAX_SAMPLES_NEEDED:
            return None
    while high - low > 0.01 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if is_decided(middle) else (middle, high)
    return _two_digits(high)


def _needed_by_width(bounds: _Bounds, n: int, max_drop_points: float) -> int | None:
    """The n at which an interval that shrinks with the square root of n would decide for the same drop."""
    room = max_drop_points - bounds.drop
    width = bounds.upper - bounds.drop if room > 0 else bounds.drop - bounds.lower
    if abs(room) < 1e-9 or not math.isfinite(width):
        return None
    needed = max(n, n * (width / room) ** 2)
    return _two_digits(needed) if needed <= _MAX_SAMPLES_NEEDED else None


def _bootstrap_bounds(
    metric: Metric, reference: Sequence[Record], variant: Sequence[Record], sign: float, seed: int, resamples: int
) -> _Bounds:
    n = len(reference)
    first, second = metric.estimator(reference), metric.estimator(variant)
    ones = np.ones(n)
    points = sign * _points_per_unit(metric, first(ones))
    drop = points * (first(ones) - second(ones))
    differing = sum(not np.array_equal(a, b, equal_nan=True) for a, b in zip(reference, variant, strict=True))
    if differing == 0:
        equal = _decision_when_equal(n, 100.0, 0.0)
        return _Bounds(0.0, equal.lower95, equal.upper95, equal.ci95)
    generator = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for i in range(resamples):
        weights = np.bincount(generator.integers(0, n, n), minlength=n).astype(np.float64)
        draws[i] = points * (first(weights) - second(weights))
    return _with_floor(_widest(drop, float(draws.std(ddof=1)), n, draws), n, differing, 100.0)


def _resampled_means(drops: NDArray[np.float64], seed: int, resamples: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    return np.array([drops[generator.integers(0, drops.size, drops.size)].mean() for _ in range(resamples)])


def _widest(drop: float, standard_error: float, n: int, draws: NDArray[np.float64]) -> _Bounds:
    """The wider of the percentile bootstrap and Student's t, end by end: the former is too narrow for small n."""

    def ends(z: float, tail: float) -> tuple[float, float]:
        half = t_quantile(z, n - 1) * standard_error if n > 1 else math.inf
        low, high = (float(v) for v in np.quantile(draws, [tail, 1 - tail]))
        return min(low, drop - half), max(high, drop + half)

    lower, upper = ends(Z_ONE_SIDED_95, 0.05)
    return _Bounds(drop, lower, upper, ends(Z_TWO_SIDED_95, 0.025))


def _with_floor(bounds: _Bounds, n: int, differing: int, full_scale: float) -> _Bounds:
    if differing >= _FEW_DIFFERING:
        return bounds
    half, wide = full_scale * exact_zero_upper(n), full_scale * exact_zero_upper(n, 0.975)
    lower, upper = min(bounds.lower, bounds.drop - half), max(bounds.upper, bounds.drop + half)
    ci95 = (min(bounds.ci95[0], bounds.drop - wide), max(bounds.ci95[1], bounds.drop + wide))
    return _Bounds(bounds.drop, lower, upper, ci95)


def _decision_when_equal(n: int, full_scale: float, max_drop_points: float) -> GateDecision:
    upper = full_scale * exact_zero_upper(n)
    wide = full_scale * exact_zero_upper(n, 0.975)
    allowed = max_drop_points / full_scale
    needed = math.log(0.05) / math.log(1 - allowed) if 0 < allowed < 1 else None
    bounds = _Bounds(0.0, -upper, upper, (-wide, wide))
    return _decision(bounds, n, max_drop_points, _two_digits(needed) if needed is not None else None)


def _decision(bounds: _Bounds, n: int, max_drop_points: float, samples_needed: int | None) -> GateDecision:
    if not math.isfinite(bounds.upper - bounds.lower):  # one sample says nothing
        bounds = _Bounds(bounds.drop, -100.0, 100.0, (-100.0, 100.0))
    if bounds.upper <= max_drop_points:
        gate, needed = Gate.PASSED, None
    elif bounds.lower > max_drop_points:
        gate, needed = Gate.FAILED, None
    else:
        gate, needed = Gate.UNDECIDED, samples_needed
    sentence = _sentence(gate, bounds, n, max_drop_points, needed)
    return GateDecision(gate, bounds.drop, bounds.ci95, bounds.lower, bounds.upper, n, needed, sentence)


def _sentence(gate: Gate, bounds: _Bounds, n: int, allowed: float, needed: int | None) -> str:
    if gate is Gate.PASSED:
        at_most = max(bounds.upper, 0.0)
        return f"n={n}: the drop is at most {at_most:.2g} points (95 % one-sided), {allowed:g} allowed"
    if gate is Gate.FAILED:
        return f"n={n}: the drop is at least {bounds.lower:.2g} points (95 % one-sided), {allowed:g} allowed"
    advice = f"about {needed} samples would" if needed is not None else "how many samples would is unknown"
    if bounds.drop <= allowed:
        return f"n={n} cannot exclude a drop of {bounds.upper:.1f} points; {advice}"
    seen = f"the {bounds.drop:.1f} points seen may be chance"
    return f"n={n} cannot exclude a drop of {bounds.upper:.1f} points ({seen}); {advice} decide"


def _points_per_unit(metric: Metric, reference_value: float) -> float:
    if metric.points_per_unit is not None:
        return metric.points_per_unit
    return 100.0 / abs(reference_value) if reference_value else 100.0


def _two_digits(count: float) -> int:
    """Rounded up to two significant digits: it is an estimate and should look like one."""
    step = 10 ** max(0, math.floor(math.log10(max(1.0, count))) - 1)
    return int(math.ceil(count / step) * step)
