"""How much a candidate is expected to add to the hypervolume of a front: exact for independent normal predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgert.search.front import nondominated

__all__ = ["expected_improvement", "share_below"]

Floats = NDArray[np.float64]


def expected_improvement(front: Floats, reference: Floats, means: Floats, deviations: Floats) -> Floats:
    """Returns the expected gain of hypervolume of each candidate, float64[candidates].

    With one objective that is the expected improvement over the best, or over the reference where that is lower.

    Source: Emmerich, Deutz, Klinkenberg, Hypervolume-based expected improvement: monotonicity properties and exact
    computation, IEEE Congress on Evolutionary Computation 2011; sliced along the last objective as the hypervolume is.

    Args:
        front: float64[points, objectives]; dominated points and those beyond the reference change nothing.
        reference: float64[objectives].
        means: float64[candidates, objectives].
        deviations: like means, above 0.
    """
    inside = front[(front < reference).all(axis=1)]
    inside = inside[nondominated(inside)]
    return _gain(inside, reference, means, deviations)


def _gain(front: Floats, reference: Floats, means: Floats, deviations: Floats) -> Floats:
    if front.shape[1] == 1:
        bound = float(min(reference[0], front.min(initial=np.inf)))
        return _shortfall(bound, means[:, 0], deviations[:, 0])
    ordered = front[np.argsort(front[:, -1], kind="stable")]
    total, below = np.zeros(len(means)), np.zeros(len(means))
    for count, end in enumerate([*ordered[:, -1], reference[-1]]):
        upto = _shortfall(float(end), means[:, -1], deviations[:, -1])
        total += (upto - below) * _gain(ordered[:count, :-1], reference[:-1], means[:, :-1], deviations[:, :-1])
        below = upto
    return total


def _shortfall(bound: float, means: Floats, deviations: Floats) -> Floats:
    """How far a normal value lies below a bound on average, counting 0 where it does not."""
    z = (bound - means) / deviations
    found: Floats = (bound - means) * share_below(z) + deviations * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    return found


def share_below(z: Floats) -> Floats:
    """Returns the normal distribution function."""
    from scipy.special import ndtr

    shares: Floats = ndtr(z)
    return shares
