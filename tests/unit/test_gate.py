"""The gate: published intervals, the three outcomes, honesty where nothing differs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgert.bundle import Gate
from edgert.runtime.postprocess import Classification
from edgert_converters.gate import decide, decide_counts, decide_values
from edgert_converters.intervals import Z_TWO_SIDED_95, exact_zero_upper, paired_difference_bound, t_quantile, wilson
from edgert_converters.metrics import METRICS


def test_tango_bounds_are_where_the_score_statistic_is_the_quantile() -> None:
    """The nuisance share is found by searching the likelihood instead of the closed form."""
    low = paired_difference_bound(1, 0, 44, Z_TWO_SIDED_95)
    high = paired_difference_bound(1, 0, 44, -Z_TWO_SIDED_95)
    assert low < 0 < 1 / 44 < high
    for bound, z in ((low, Z_TWO_SIDED_95), (high, -Z_TWO_SIDED_95)):
        q = _constrained_q(1, 0, 44, bound)
        statistic = (1 - 44 * bound) / math.sqrt(44 * (2 * q + bound * (1 - bound)))
        assert statistic == pytest.approx(z, abs=1e-4)


def _constrained_q(b: float, c: float, n: float, delta: float) -> float:
    grid = np.linspace(max(0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12, 2_000_001)
    likelihood = b * np.log(grid + delta) + (n - b - c) * np.log(1 - 2 * grid - delta)
    likelihood += c * np.log(grid) if c else 0
    return float(grid[np.nanargmax(likelihood)])


def test_wilson_and_other_quantiles() -> None:
    low, high = wilson(81, 263)  # a textbook example: 0.2553, 0.3662
    assert (low, high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    assert wilson(0, 0) == (0.0, 1.0)
    assert exact_zero_upper(100) == pytest.approx(0.0295, abs=1e-4)
    assert t_quantile(1.6448536, 9) == pytest.approx(1.8331, abs=2e-3)


def test_three_outcomes_of_counts() -> None:
    passed = decide_counts(3, 3, 2000, 1.0)
    assert passed.gate is Gate.PASSED
    assert passed.upper95 <= 1.0
    assert passed.samples_needed is None
    failed = decide_counts(60, 2, 1000, 1.0)
    assert failed.gate is Gate.FAILED
    assert failed.drop_points == pytest.approx(5.8)
    assert failed.lower95 > 1.0
    undecided = decide_counts(3, 3, 100, 1.0)
    assert undecided.gate is Gate.UNDECIDED
    assert undecided.samples_needed is not None
    assert undecided.samples_needed > 100
    expected = (
        f"n=100 cannot exclude a drop of {undecided.upper95:.1f} points; about {undecided.samples_needed} samples would"
    )
    assert undecided.sentence.startswith(expected.rsplit("; ", 1)[0])


def test_nothing_different_in_few_samples_is_not_passed() -> None:
    decision = decide_counts(0, 0, 100, 1.0)
    assert decision.gate is Gate.UNDECIDED
    assert decision.upper95 == pytest.approx(2.95, abs=0.01)
    assert decision.samples_needed == 300
    assert decision.sentence == "n=100 cannot exclude a drop of 3.0 points; about 300 samples would"
    assert decide_counts(0, 0, 300, 1.0).gate is Gate.PASSED
    values = np.linspace(0, 100, 50)
    assert decide_values(values, values, 1.0).gate is Gate.UNDECIDED
    almost = values - np.eye(1, 50)[0] * 0.01
    assert decide_values(values, almost, 1.0).gate is Gate.UNDECIDED


@pytest.mark.parametrize(("losses", "gains", "n"), [(2, 2, 300), (5, 1, 200), (12, 4, 700), (0, 0, 40)])
def test_the_number_of_samples_named_decides(losses: int, gains: int, n: int) -> None:
    decision = decide_counts(losses, gains, n, 1.0)
    assert decision.gate is Gate.UNDECIDED
    assert decision.samples_needed is not None
    scale = decision.samples_needed / n * 1.03
    again = decide_counts(round(losses * scale), round(gains * scale), round(n * scale), 1.0)
    near_limit = abs(again.upper95 - 1.0) < 0.1 or abs(again.lower95 - 1.0) < 0.1
    assert again.gate is not Gate.UNDECIDED or near_limit


def test_values_pass_fail_and_direction() -> None:
    rng = np.random.default_rng(1)
    reference = rng.normal(30, 3, 400)
    assert decide_values(reference, reference - rng.normal(0, 0.3, 400), 1.0).gate is Gate.PASSED
    assert decide_values(reference, reference - rng.normal(2, 0.3, 400), 1.0).gate is Gate.FAILED
    assert decide_values(np.full(5, 30.0), np.array([31.0, 29, 28, 30.5, 29]), 1.0).gate is Gate.UNDECIDED
    one = decide_values(np.array([1.0]), np.array([0.5]), 1.0)
    assert one.gate is Gate.UNDECIDED
    assert all(math.isfinite(bound) for bound in one.ci95)


def test_an_error_metric_counts_upwards_as_a_drop() -> None:
    metric = METRICS["mse"]
    reference = [np.array([1.0 + 0.01 * i]) for i in range(50)]
    worse = [record * 1.5 for record in reference]
    decision = decide(metric, reference, worse, 1.0)
    assert decision.gate is Gate.FAILED
    assert decision.drop_points == pytest.approx(50)


def test_a_metric_over_all_samples_is_bootstrapped() -> None:
    metric = METRICS["f1"]
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 300)

    def records(answers: np.ndarray) -> list[np.ndarray]:
        scores = np.eye(3, dtype=np.float32)[answers]
        return [metric.record(Classification(s, np.argsort(-s)), int(t)) for s, t in zip(scores, labels, strict=True)]

    wrong = np.where(rng.random(300) < 0.3, (labels + 1) % 3, labels)
    good = records(labels)
    assert decide(metric, good, records(wrong), 1.0).gate is Gate.FAILED
    same = decide(metric, good, good, 1.0)
    assert same.gate is Gate.UNDECIDED or same.upper95 <= 1.0
    assert same.upper95 == pytest.approx(100 * exact_zero_upper(300))
    assert decide(metric, good, records(wrong), 1.0) == decide(metric, good, records(wrong), 1.0)


def test_unequal_numbers_are_a_programming_error() -> None:
    with pytest.raises(ValueError, match="equally many"):
        decide(METRICS["top1"], [np.zeros(1)], [], 1.0)
