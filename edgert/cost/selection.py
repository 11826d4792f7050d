"""Which few models to measure on a new device, from what earlier devices teach."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgert.cost.transfer_prior import EarlierDevices, Floats, pool_prior

__all__ = ["choose_models", "choose_rows"]

_INDEPENDENCE = 0.3
_DOUBT = 0.2
"""Relative error of a measurement here: noise, and what a sum of costs cannot follow. Less seeks extreme models."""
_MIDDLE = (0.05, 0.95)
"""Quantiles of the expected cost between which models are chosen: beyond them clocks and sums of costs err most."""


def choose_models(earlier: EarlierDevices, count: int = 10, among: Sequence[int] | None = None) -> NDArray[np.int64]:
    """Returns rows of the earlier devices' table to measure on a new device, each once; the most telling come first.

    Greedily takes the model after whose measurement the costs of all candidates are known best: the least mean
    posterior variance (V-optimal design) of relative cost under the prior of `pool_prior`. That engines may run a model
    in different views counts as variance too, so that models which tell views apart are chosen. Deterministic.

    Args:
        earlier: What was learned from earlier devices.
        count: How many models, at least 1.
        among: Rows that can be measured; all by default. Where fewer than `count` have a middling expected cost, all
            of them are candidates.

    Raises:
        ValueError: `count` is below 1, more than the candidates, or `among` holds no row of the table.

    Source: Yu, Bi, Tresp, Active Learning via Transductive Experimental Design, 2006, the sequential algorithm.
    """
    models = earlier.views.shape[1]
    rows = np.arange(models) if among is None else np.unique(np.asarray(among, np.int64))
    if rows.size and not (rows[0] >= 0 and rows[-1] < models):
        raise ValueError(f"candidates must be rows of the earlier devices' table, 0 to {models - 1}")
    if not 1 <= count <= rows.size:
        raise ValueError(f"{count} models to choose of {rows.size} candidates: 1 to {rows.size} are needed")
    rows = _with_middling_cost(earlier, rows, count)
    return rows[choose_rows(_design(earlier, rows), count)]


def _with_middling_cost(earlier: EarlierDevices, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    expected = earlier.views[:, rows] @ earlier.costs.mean(axis=0)
    low, high = np.quantile(expected, _MIDDLE, axis=1)[..., np.newaxis]
    kept = ((expected >= low) & (expected <= high)).all(axis=0)
    return rows[kept] if kept.sum() >= count else rows


def _design(earlier: EarlierDevices, rows: NDArray[np.int64]) -> Floats:
    """Returns rows whose inner products are prior covariances of relative costs, float64[candidates, directions]."""
    prior = pool_prior(earlier, _INDEPENDENCE)
    views = earlier.views[:, rows]
    expected = views @ prior.mean
    directions = np.concatenate([prior.factors, np.diag(prior.spread)]) / np.sqrt(len(views))
    blocks = [view @ directions.T for view in views]
    blocks += [(each - expected[-1])[:, np.newaxis] / 2 for each in expected[:-1]]
    typical = np.maximum(expected.mean(axis=0), 0.8)
    design: Floats = np.concatenate(blocks, axis=1) / typical[:, np.newaxis]
    return design


def choose_rows(design: Floats, count: int) -> NDArray[np.int64]:
    """Returns `count` rows of float64[candidates, directions], the most telling first; see `choose_models`.

    Args:
        design: rows whose inner products are prior covariances of relative costs.
        count: how many, at most the candidates.
    """
    spread = design.T @ design / len(design)
    covariance = np.eye(design.shape[1])
    chosen: list[int] = []
    for _ in range(count):
        pulled = design @ covariance
        variance = (pulled * design).sum(axis=1) + _DOUBT**2
        gain = ((pulled @ spread) * pulled).sum(axis=1) / variance
        gain[chosen] = -np.inf
        best = int(np.argmax(gain))
        chosen.append(best)
        covariance -= np.outer(pulled[best], pulled[best]) / variance[best]
    return np.array(chosen)
