"""The gate by simulation: how often it passes a variant that is truly worse, and one that is not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from edgert.bundle import Gate
from edgert_converters.gate import decide_counts, decide_values

RUNS = 2000
MAX_DROP = 1.0


@cache
def _gate(losses: int, gains: int, n: int) -> Gate:
    return decide_counts(losses, gains, n, MAX_DROP).gate


def _passing_share(loss: float, gain: float, n: int, seed: int = 0) -> float:
    """Share of runs that pass when each sample is lost or gained with these probabilities."""
    draws = np.random.default_rng(seed).multinomial(n, [loss, gain, 1 - loss - gain], RUNS)
    return float(np.mean([_gate(int(b), int(c), n) is Gate.PASSED for b, c, _ in draws]))


@pytest.mark.parametrize("n", [100, 300, 1000])
@pytest.mark.parametrize("gain", [0.0, 0.02, 0.1])
def test_a_true_drop_of_four_points_hardly_ever_passes(n: int, gain: float) -> None:
    assert _passing_share(gain + 0.04, gain, n) < 0.05


@pytest.mark.parametrize("n", [100, 300, 1000, 3000])
@pytest.mark.parametrize("gain", [0.0, 0.005, 0.02, 0.1])
def test_a_true_drop_at_the_limit_passes_about_one_time_in_twenty(n: int, gain: float) -> None:
    monte_carlo = 3 * (0.05 * 0.95 / RUNS) ** 0.5
    assert _passing_share(gain + 0.01, gain, n) < 0.055 + monte_carlo


@pytest.mark.parametrize(("n", "discordant"), [(1000, 0.01), (2000, 0.02), (4000, 0.05)])
def test_no_true_drop_usually_passes(n: int, discordant: float) -> None:
    assert _passing_share(discordant / 2, discordant / 2, n) > 0.6


@pytest.mark.parametrize("n", [100, 300])
def test_a_true_drop_of_four_points_hardly_ever_passes_for_continuous_values(n: int) -> None:
    """Most samples lose nothing, few lose much: the case that makes naive intervals too narrow."""
    rng = np.random.default_rng(3)
    passed = 0
    runs = 200
    for _ in range(runs):
        reference = rng.uniform(50, 100, n)
        drops = np.where(rng.random(n) < 0.1, rng.exponential(40, n), 0)
        passed += decide_values(reference, reference - drops, MAX_DROP, resamples=200).gate is Gate.PASSED
    assert passed / runs < 0.05
