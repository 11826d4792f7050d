"""Confidence intervals for shares and for differences of paired shares."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["exact_zero_upper", "paired_difference_bound", "t_quantile", "wilson"]

Z_ONE_SIDED_95 = 1.6448536269514722
Z_TWO_SIDED_95 = 1.959963984540054


def wilson(hits: float, n: float, z: float = Z_TWO_SIDED_95) -> tuple[float, float]:
    """Returns the score interval of a share, both ends in 0..1; (0, 1) for n = 0.

    Source: Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if n <= 0:
        return 0.0, 1.0
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def exact_zero_upper(n: int, confidence: float = 0.95) -> float:
    """Returns the one-sided upper bound for the share of an event that was never seen in n samples (about 3 / n)."""
    return 1.0 - math.pow(1.0 - confidence, 1.0 / n)


def paired_difference_bound(losses: float, gains: float, n: float, z: float) -> float:
    """Returns the bound of the difference of two paired shares where the score statistic equals `z`.

    The difference is ``losses / n - gains / n`` (`losses`: only the first is right; `gains`: only the second is). A
    negative `z` gives the upper bound, a positive one the lower.

    Source: Tango, Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design, 1998, Statistics in Medicine 17, eq. 4 and 5. Counts need not be whole (used to plan sample sizes).
    """

    def excess(delta: float) -> float:
        return _score_statistic(losses, gains, n, delta) - z

    estimate = (losses - gains) / n
    return _root(excess, estimate, 1.0) if z < 0 else _root(excess, -1.0, estimate)


def _score_statistic(losses: float, gains: float, n: float, delta: float) -> float:
    a = 2 * n
    b = -losses - gains + (2 * n - losses + gains) * delta
    c = -gains * delta * (1 - delta)
    q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = n * (2 * q + delta * (1 - delta))
    difference = losses - gains - n * delta
    if variance <= 0:
        return 0.0 if abs(difference) < 1e-12 else math.copysign(math.inf, difference)
    return difference / math.sqrt(variance)


def _root(decreasing: Callable[[float], float], low: float, high: float) -> float:
    for _ in range(60):
        middle = (low + high) / 2
        if decreasing(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def t_quantile(z: float, degrees: int) -> float:
    """Returns Student's t quantile for the normal quantile `z`.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 1964, 26.7.5 (error under 1 % from 4 degrees on).
    """
    v = float(degrees)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / v + second / v**2 + third / v**3
